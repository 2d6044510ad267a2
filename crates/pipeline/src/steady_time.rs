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
    /// The part of the time before the start that is not made up for: the machine was probably off, but its clock may
    /// be wrong instead.
    gap_us: i64,
    jump: Option<Jump>,
}

/// A clock that is too far ahead.
#[derive(Debug, Clone, Copy)]
struct Jump {
    clock_us: i64,
    at: Duration,
}

/// The time to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Believed {
    /// That of the clock, or the time that has passed for certain if the clock is too far ahead of it.
    pub(crate) now_us: i64,
    /// The clock cannot be believed.
    pub(crate) jumped: Option<JumpedAhead>,
}

/// A clock that cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JumpedAhead {
    /// The distance, in microseconds.
    pub(crate) by_us: i64,
    /// `true` if it was not noticed before.
    pub(crate) is_new: bool,
}

impl SteadyTime {
    /// Begins with a time that is known to be past when the process starts, and with what the clock shows then.
    ///
    /// A clock that is ahead by a quarter of `tolerance`, or by a day, is not believed.
    pub(crate) fn new(past_us: i64, clock_us: i64, tolerance: Duration) -> Self {
        let quarter_us = i64::try_from(tolerance.as_micros() / 4).unwrap_or(i64::MAX);
        Self {
            believed_us: past_us,
            believed_at: Duration::ZERO,
            ahead_max_us: AHEAD_MAX_US.min(quarter_us),
            gap_us: clock_us.saturating_sub(past_us).max(0),
            jump: None,
        }
    }

    /// Returns the time to decide by, when the clock shows `clock_us`.
    ///
    /// `elapsed` is the time since the start of the process, by a clock that does not jump. What was missing at the
    /// start is made up for as fast as time passes: else a machine that is switched off every night would never catch up.
    pub(crate) fn now(&mut self, clock_us: i64, elapsed: Duration) -> Believed {
        let passed_us = micros(elapsed.saturating_sub(self.believed_at));
        let made_up_us = self.gap_us.min(passed_us);
        let expected_us = self.believed_us.saturating_add(passed_us).saturating_add(made_up_us);
        let by_us = clock_us.saturating_sub(expected_us);
        self.believed_at = elapsed;
        if by_us > self.ahead_max_us && !self.is_steady(clock_us, elapsed) {
            self.believed_us = expected_us;
            self.gap_us -= made_up_us;
            let is_new = self.is_new_jump(clock_us, elapsed);
            if is_new {
                self.jump = Some(Jump { clock_us, at: elapsed });
            }
            return Believed { now_us: expected_us, jumped: Some(JumpedAhead { by_us, is_new }) };
        }
        self.believed_us = clock_us.max(expected_us - made_up_us);
        self.gap_us = 0;
        self.jump = None;
        Believed { now_us: clock_us, jumped: None }
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
    time_us.saturating_add(micros(duration))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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

    fn clock(now_us: i64) -> Believed {
        Believed { now_us, jumped: None }
    }

    #[test]
    fn a_clock_that_runs_is_believed() {
        let mut time = SteadyTime::new(NOW_US - 3_600_000_000, NOW_US, LONG);
        for minute in 0..10_000_u64 {
            let clock_us = NOW_US + minute.cast_signed() * MINUTE_US;
            assert_eq!(time.now(clock_us, minutes(minute)), clock(clock_us));
        }
    }

    #[test]
    fn a_jump_ahead_is_not_believed_and_a_jump_back_is_followed() {
        let mut time = SteadyTime::new(NOW_US, NOW_US, LONG);
        assert_eq!(time.now(NOW_US, minutes(0)), clock(NOW_US));
        let far_us = NOW_US + 40 * DAY_US;
        let believed = time.now(far_us, minutes(1));
        assert_eq!(believed.now_us, NOW_US + MINUTE_US);
        let jumped = believed.jumped.unwrap();
        assert_eq!((jumped.is_new, jumped.by_us / DAY_US), (true, 39));
        let believed = time.now(far_us + MINUTE_US, minutes(2));
        assert_eq!(believed.now_us, NOW_US + 2 * MINUTE_US);
        assert!(!believed.jumped.unwrap().is_new);
        // It is set right again.
        assert_eq!(time.now(NOW_US + 3 * MINUTE_US, minutes(3)), clock(NOW_US + 3 * MINUTE_US));
        // 1970: nothing is too old then, and the way back is no jump.
        assert_eq!(time.now(0, minutes(4)), clock(0));
        assert_eq!(time.now(NOW_US + 5 * MINUTE_US, minutes(5)), clock(NOW_US + 5 * MINUTE_US));
    }

    #[test]
    fn where_little_is_kept_a_short_jump_is_not_believed() {
        let mut time = SteadyTime::new(NOW_US, NOW_US, Duration::from_hours(12));
        assert_eq!(time.now(NOW_US + 4 * 3_600_000_000, minutes(0)).now_us, NOW_US);
        let near_us = NOW_US + 2 * 3_600_000_000;
        assert_eq!(time.now(near_us, minutes(1)), clock(near_us));
    }

    #[test]
    fn a_clock_that_stays_where_it_jumped_is_believed_after_a_day() {
        let mut time = SteadyTime::new(NOW_US - 30 * DAY_US, NOW_US, LONG);
        let clock_us = |minute: u64| NOW_US + minute.cast_signed() * MINUTE_US;
        for minute in 0..1_440 {
            let believed = time.now(clock_us(minute), minutes(minute));
            assert!(believed.jumped.is_some(), "{minute}");
            let made_up_us = 2 * minute.cast_signed() * MINUTE_US;
            assert_eq!(believed.now_us, NOW_US - 30 * DAY_US + made_up_us);
        }
        assert_eq!(time.now(clock_us(1_440), minutes(1_440)), clock(clock_us(1_440)));
        assert_eq!(time.now(clock_us(1_441), minutes(1_441)), clock(clock_us(1_441)));
    }

    #[test]
    fn a_clock_that_jumps_again_and_again_is_never_believed() {
        let mut time = SteadyTime::new(NOW_US, NOW_US, LONG);
        for minute in 0..5_000_u64 {
            let clock_us = NOW_US + (2 + minute.cast_signed() / 100) * DAY_US * 2;
            let believed = time.now(clock_us, minutes(minute));
            assert!(believed.jumped.is_some(), "{minute}");
            assert_eq!(believed.now_us, NOW_US + minute.cast_signed() * MINUTE_US);
        }
    }

    /// Seen to fail where the time before the start counts as a jump: the distance grew every night.
    #[test]
    fn a_machine_that_is_off_every_night_and_on_weekends_catches_up() {
        let (mut past_us, mut clock_us) = (NOW_US, NOW_US);
        let mut longest_us = 0;
        for day in 0..60 {
            let hours_off = if day % 7 == 5 { 56 } else { 8 };
            clock_us += hours_off * 60 * MINUTE_US;
            let mut time = SteadyTime::new(past_us, clock_us, Duration::from_hours(24));
            for minute in 5..16 * 60_u64 {
                let now_us = clock_us + minute.cast_signed() * MINUTE_US;
                past_us = time.now(now_us, minutes(minute)).now_us;
                longest_us = longest_us.max(now_us - past_us);
            }
            clock_us += 16 * 60 * MINUTE_US;
        }
        assert!(longest_us < 4 * DAY_US, "{longest_us}");
        assert!(clock_us - past_us < DAY_US, "{}", clock_us - past_us);
    }
}
