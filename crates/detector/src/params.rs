//! Parameters of a training.

use crate::calibration::AlarmRule;
use crate::group_pattern::GroupPattern;

/// Parameters of a training: how to grow the forest, and when to call an event anomalous.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    /// The parameters of the forest.
    pub forest: isoforest::Params,
    /// When to call an event anomalous.
    pub alarms: AlarmRule,
    /// `true` to learn also from rows with a value that no tail explains, which are left out otherwise.
    pub keep_all_rows: bool,
    /// The groups of stations that get a baseline of their own; `None` when all stations share one.
    pub group_by: Option<GroupPattern>,
    /// `true` to keep the last events of each station, from which it learns what is usual in time order.
    pub keeps_lessons: bool,
}
