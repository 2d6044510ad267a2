//! Budgets of some stations, by their names.

use std::str::FromStr;

/// The alarms that may open in a day at each station whose name fits a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct StationBudget {
    /// A name, in which each `*` stands for any text.
    pattern: String,
    alarms_per_day: f64,
}

/// The reason why a text is no budget of stations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no budget of stations: it is a name with an alarm rate, as in `press_1=0.2`, and * in the name stands for any text; \
     the rate is above 0 and at most {most} a day",
    most = StationBudget::ALARMS_PER_DAY_MAX
)]
pub struct InvalidStationBudget(String);

impl StationBudget {
    /// More alarms in a day are no budget.
    pub const ALARMS_PER_DAY_MAX: f64 = 1_000.0;

    /// Returns the alarms that may open in a day, if it is for a station of this name.
    pub fn of(&self, name: &str) -> Option<f64> {
        fits(&self.pattern, name).then_some(self.alarms_per_day)
    }
}

impl FromStr for StationBudget {
    type Err = InvalidStationBudget;

    fn from_str(text: &str) -> Result<Self, InvalidStationBudget> {
        let parts = text.split_once('=').and_then(|(pattern, number)| {
            let alarms_per_day: f64 = number.trim().parse().ok()?;
            let is_rate = alarms_per_day > 0.0 && alarms_per_day <= Self::ALARMS_PER_DAY_MAX;
            let pattern = String::from(pattern.trim());
            (is_rate && !pattern.is_empty()).then_some(Self { pattern, alarms_per_day })
        });
        parts.ok_or_else(|| InvalidStationBudget(text.into()))
    }
}

/// Returns `true` if a name fits a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(begin) else { return false };
    // The first place of each part in between leaves most for the others.
    let mut parts = rest.split('*');
    let end = parts.next_back().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, fitting, others) in [
            ("press_1", &["press_1"][..], &["press_10", "xpress_1", ""][..]),
            ("press_*", &["press_1", "press_"], &["press", "xpress_1"]),
            ("*.oven", &["hall.oven", ".oven"], &["oven", "hall.oven2"]),
            ("hall*_*2", &["hall_2", "hall1_12", "hall_x_2"], &["hall2", "hall_21"]),
            ("*", &["a", ""], &[]),
            ("a*a", &["aa", "aba"], &["a"]),
        ] {
            let budget: StationBudget = format!("{pattern} = 0.5").parse().unwrap();
            for name in fitting {
                assert_eq!(budget.of(name), Some(0.5), "{name} of {pattern}");
            }
            for name in others {
                assert_eq!(budget.of(name), None, "{name} of {pattern}");
            }
        }
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        for text in ["", "press", "press=", "=1", "press=0", "press=-1", "press=1001", "press=nan"]
        {
            let refused = text.parse::<StationBudget>().unwrap_err().to_string();
            assert!(
                refused.contains("as in `press_1=0.2`") && refused.contains("1000"),
                "{refused}"
            );
        }
    }
}
