//! The last hour of a station in small parts.

/// Parts of a strip.
pub(crate) const N_CELLS: u16 = 120;
/// Microseconds of a part: half a minute.
pub(crate) const CELL_US: i64 = 30_000_000;
/// Microseconds of a strip: an hour.
pub(crate) const STRIP_US: i64 = CELL_US * LEN;

/// The same number for calculating, and for lists.
const LEN: i64 = N_CELLS as i64;
const ARRAY_LEN: usize = N_CELLS as usize;

/// The parts of an hour, the latest last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StripCells(pub(crate) [StripCell; ARRAY_LEN]);

impl Default for StripCells {
    fn default() -> Self {
        Self([StripCell::default(); ARRAY_LEN])
    }
}

/// What was measured in a part of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StripCell {
    /// The highest score in 254ths, from 1; 0 when nothing was measured.
    score: u8,
    /// Anomalies, up to 255.
    pub(crate) n_anomalies: u8,
}

impl StripCell {
    /// The highest score, roughly, if anything was measured.
    pub(crate) fn score(self) -> Option<f64> {
        (self.score > 0).then(|| f64::from(self.score - 1) / 254.0)
    }

    fn add(&mut self, anomaly_score: f64, is_anomaly: bool) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to 255"
        )]
        let score = (anomaly_score.clamp(0.0, 1.0) * 254.0) as u8 + 1;
        self.score = self.score.max(score);
        self.n_anomalies = self.n_anomalies.saturating_add(is_anomaly.into());
    }
}

/// The last hour of a station, by the time of measuring. What is older is forgotten.
#[derive(Debug)]
pub(super) struct Strip {
    /// A part stands at its number modulo their count.
    cells: [StripCell; ARRAY_LEN],
    /// Number of the latest part.
    newest: i64,
}

impl Strip {
    pub(super) fn new(timestamp_us: i64) -> Self {
        Self { cells: [StripCell::default(); ARRAY_LEN], newest: number(timestamp_us) }
    }

    pub(super) fn note(&mut self, timestamp_us: i64, anomaly_score: f64, is_anomaly: bool) {
        let number = number(timestamp_us);
        if number <= self.newest - LEN {
            return;
        }
        // What comes between now belongs to another hour.
        let first_new = (self.newest + 1).max(number - LEN + 1);
        for between in first_new..=number {
            self.cells[place(between)] = StripCell::default();
        }
        self.newest = self.newest.max(number);
        self.cells[place(number)].add(anomaly_score, is_anomaly);
    }

    /// Takes in what is kept of a whole part, of which something may be known already.
    pub(super) fn recall(&mut self, timestamp_us: i64, anomaly_score: f64, n_anomalies: u32) {
        let number = number(timestamp_us);
        if !(self.newest - LEN + 1..=self.newest).contains(&number) {
            return;
        }
        let cell = &mut self.cells[place(number)];
        cell.add(anomaly_score, false);
        cell.n_anomalies = cell.n_anomalies.max(u8::try_from(n_anomalies).unwrap_or(u8::MAX));
    }

    /// When the hour of the latest part begins and ends.
    pub(super) fn span(&self) -> (i64, i64) {
        ((self.newest - LEN + 1) * CELL_US, (self.newest + 1) * CELL_US)
    }

    /// The hour before a time.
    pub(super) fn before(&self, until_us: i64) -> StripCells {
        let last = number(until_us - 1);
        let known = self.newest - LEN + 1..=self.newest;
        let mut cells = StripCells::default();
        for (cell, number) in cells.0.iter_mut().zip(last - LEN + 1..=last) {
            if known.contains(&number) {
                *cell = self.cells[place(number)];
            }
        }
        cells
    }
}

fn number(timestamp_us: i64) -> i64 {
    timestamp_us.div_euclid(CELL_US)
}

fn place(number: i64) -> usize {
    usize::try_from(number.rem_euclid(LEN)).expect("it is a remainder")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(cells: &StripCells) -> Vec<usize> {
        (0..ARRAY_LEN).filter(|&index| cells.0[index].score().is_some()).collect()
    }

    #[test]
    fn a_strip_is_the_hour_before_a_time() {
        let mut strip = Strip::new(0);
        for cell in [0, 1, 100, 119] {
            strip.note(cell * CELL_US, 0.5, cell == 100);
        }
        let cells = strip.before(STRIP_US);
        assert_eq!(filled(&cells), [0, 1, 100, 119]);
        assert_eq!((cells.0[100].n_anomalies, cells.0[1].n_anomalies), (1, 0));
        assert!((cells.0[0].score().unwrap() - 0.5).abs() < 0.005);
        assert_eq!(filled(&strip.before(STRIP_US + 10 * CELL_US)), [90, 109]);
        assert_eq!(filled(&strip.before(3 * STRIP_US)), [0; 0]);
        // What comes late has its place, and what is too old has none.
        strip.note(130 * CELL_US, 0.9, false);
        strip.note(50 * CELL_US, 0.9, false);
        strip.note(5 * CELL_US, 0.9, false);
        let cells = strip.before(131 * CELL_US);
        assert_eq!(filled(&cells), [39, 89, 108, 119]);
        // What is read again is not counted twice.
        strip.recall(100 * CELL_US, 0.6, 1);
        strip.recall(119 * CELL_US, 0.6, 3);
        strip.recall(5 * CELL_US, 0.6, 3);
        let recalled = strip.before(131 * CELL_US);
        assert_eq!(filled(&recalled), filled(&cells));
        assert_eq!((recalled.0[89].n_anomalies, recalled.0[108].n_anomalies), (1, 3));
        assert_eq!(strip.span(), (11 * CELL_US, 131 * CELL_US));
        strip.note(10_000 * CELL_US, 0.1, false);
        assert_eq!(filled(&strip.before(10_001 * CELL_US)), [119]);
    }
}
