//! The time for decisions that cannot be undone. It does not follow a clock that jumps ahead.

use std::time::Duration;

const DAY_US: i64 = 86_400 * 1_000_000;

/// A clock may be ahead of the time that has passed by a day, or less where less is kept.
const AHEAD_MAX_US: i64 = DAY_US;
/// A clock that runs steadily for this long after a jump is believed.
const STEADY_FOR: Duration = Duration::from_hours(24);
/// A steady clock may differ by this much from the time that has passed.
const UNSTEADY_US: i64 = 3_600 * 1_000_000;

/// The time that is believed: a time that is known to be past, and the duration since.
#[derive(Debug, Clone)]
pub(crate) struct SteadyTime {
    believed_us: i64,
    /// Since the start of the process, as `believed_us` was set.
    believed_at: Duration,
    ahead_max_us: i64,
    jump: Option<Jump>,
}

/// A clock that is too far ahead.
#[derive(Debug, Clone, Copy)]
struct Jump {
    clock_us: i64,
    at: Duration,
}

/// The clock cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JumpedAhead {
    /// The distance, in microseconds.
    pub(crate) by_us: i64,
    /// `true` if it was not noticed before.
    pub(crate) is_new: bool,
}

impl SteadyTime {
    /// Begins with a time that is known to be past when the process starts.
    ///
    /// A clock that is ahead by a quarter of `tolerance`, or by a day, is not believed.
    pub(crate) fn new(past_us: i64, tolerance: Duration) -> Self {
        let quarter_us = i64::try_from(tolerance.as_micros() / 4).unwrap_or(i64::MAX);
        let ahead_max_us = AHEAD_MAX_US.min(quarter_us);
        Self { believed_us: past_us, believed_at: Duration::ZERO, ahead_max_us, jump: None }
    }

    /// Returns the time that the clock shows.
    ///
    /// `elapsed` is the time since the start of the process, by a clock that does not jump.
    ///
    /// # Errors
    ///
    /// Fails while the clock is too far ahead.
    pub(crate) fn now(&mut self, clock_us: i64, elapsed: Duration) -> Result<i64, JumpedAhead> {
        let expected_us = add(self.believed_us, elapsed.saturating_sub(self.believed_at));
        let by_us = clock_us.saturating_sub(expected_us);
        if by_us > self.ahead_max_us && !self.is_steady(clock_us, elapsed) {
            let is_new = self.is_new_jump(clock_us, elapsed);
            if is_new {
                self.jump = Some(Jump { clock_us, at: elapsed });
            }
            return Err(JumpedAhead { by_us, is_new });
        }
        self.jump = None;
        self.believed_us = clock_us.max(expected_us);
        self.believed_at = elapsed;
        Ok(clock_us)
    }

    /// Returns `true` if the clock has run as fast as time since it jumped, and for long enough.
    fn is_steady(&self, clock_us: i64, elapsed: Duration) -> bool {
        let is_long_ago = |jump: Jump| elapsed.saturating_sub(jump.at) >= STEADY_FOR;
        self.jump.is_some_and(is_long_ago) && !self.is_new_jump(clock_us, elapsed)
    }

    /// Returns `true` if the clock is not where the last jump has taken it.
    fn is_new_jump(&self, clock_us: i64, elapsed: Duration) -> bool {
        self.jump.is_none_or(|jump| {
            let expected_us = add(jump.clock_us, elapsed.saturating_sub(jump.at));
            clock_us.abs_diff(expected_us) > UNSTEADY_US.unsigned_abs()
        })
    }
}

fn add(time_us: i64, duration: Duration) -> i64 {
    time_us.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_795_348_800_000_000;
    const MINUTE_US: i64 = 60_000_000;
    const LONG: Duration = Duration::from_hours(24 * 30);

    fn minutes(number: u64) -> Duration {
        Duration::from_secs(60 * number)
    }

    #[test]
    fn a_clock_that_runs_is_believed() {
        let mut time = SteadyTime::new(NOW_US - 3_600_000_000, LONG);
        for minute in 0..10_000_u64 {
            let clock_us = NOW_US + minute.cast_signed() * MINUTE_US;
            assert_eq!(time.now(clock_us, minutes(minute)), Ok(clock_us));
        }
    }

    #[test]
    fn a_jump_ahead_is_not_believed_and_a_jump_back_is_followed() {
        let mut time = SteadyTime::new(NOW_US, LONG);
        assert_eq!(time.now(NOW_US, minutes(0)), Ok(NOW_US));
        let far_us = NOW_US + 40 * DAY_US;
        let jumped = time.now(far_us, minutes(1)).unwrap_err();
        assert_eq!((jumped.is_new, jumped.by_us / DAY_US), (true, 39));
        assert!(!time.now(far_us + MINUTE_US, minutes(2)).unwrap_err().is_new);
        // It is set right again.
        assert_eq!(time.now(NOW_US + 3 * MINUTE_US, minutes(3)), Ok(NOW_US + 3 * MINUTE_US));
        // 1970: nothing is too old then, and the way back is no jump.
        assert_eq!(time.now(0, minutes(4)), Ok(0));
        assert_eq!(time.now(NOW_US + 5 * MINUTE_US, minutes(5)), Ok(NOW_US + 5 * MINUTE_US));
    }

    #[test]
    fn where_little_is_kept_a_short_jump_is_not_believed() {
        let mut time = SteadyTime::new(NOW_US, Duration::from_hours(12));
        assert!(time.now(NOW_US + 4 * 3_600_000_000, minutes(0)).is_err());
        assert!(time.now(NOW_US + 2 * 3_600_000_000, minutes(1)).is_ok());
    }

    #[test]
    fn a_clock_that_stays_where_it_jumped_is_believed_after_a_day() {
        let mut time = SteadyTime::new(NOW_US - 30 * DAY_US, LONG);
        let clock_us = |minute: u64| NOW_US + minute.cast_signed() * MINUTE_US;
        for minute in 0..1_440 {
            assert!(time.now(clock_us(minute), minutes(minute)).is_err(), "{minute}");
        }
        assert_eq!(time.now(clock_us(1_440), minutes(1_440)), Ok(clock_us(1_440)));
        assert_eq!(time.now(clock_us(1_441), minutes(1_441)), Ok(clock_us(1_441)));
    }

    #[test]
    fn a_clock_that_jumps_again_and_again_is_never_believed() {
        let mut time = SteadyTime::new(NOW_US, LONG);
        for minute in 0..5_000_u64 {
            let clock_us = NOW_US + (2 + minute.cast_signed() / 100) * DAY_US * 2;
            assert!(time.now(clock_us, minutes(minute)).is_err(), "{minute}");
        }
    }
}
