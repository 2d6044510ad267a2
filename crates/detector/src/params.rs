//! Parameters of a training.

use crate::calibration::AlarmRule;

/// Parameters of a training: how to grow the forest, and when to call an event anomalous.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// The parameters of the forest.
    ///
    /// By default, trees are grown from 2,048 samples instead of the paper's 256. A forest can tell
    /// an impossible value from a rare one only where its trees have seen the rare ones, and the
    /// hundredth of normal events that a cut is made at lies in two tails of every feature.
    pub forest: isoforest::Params,
    /// When to call an event anomalous.
    pub alarms: AlarmRule,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            forest: isoforest::Params { sample_size: 2_048, ..isoforest::Params::default() },
            alarms: AlarmRule::default(),
        }
    }
}
