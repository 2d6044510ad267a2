//! The last hour of a station in half-minutes.

/// The number of cells of a strip.
const N_CELLS: u8 = 120;
/// The same number for arithmetic with times, and for arrays.
const LEN: i64 = N_CELLS as i64;
const ARRAY_LEN: usize = N_CELLS as usize;
/// Microseconds of a cell: half a minute.
const CELL_US: i64 = 30_000_000;
/// Microseconds of a strip: an hour.
pub const STRIP_US: i64 = CELL_US * LEN;

/// The cells of an hour, the latest last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripCells(pub [StripCell; ARRAY_LEN]);

/// The measurements of half a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StripCell {
    /// The highest score in 254ths, plus 1; 0 when nothing was measured.
    score: u8,
    /// Anomalies, up to 255.
    pub n_anomalies: u8,
}

impl StripCell {
    /// Returns the highest score to about 0.004, if anything was measured.
    pub fn score(self) -> Option<f64> {
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

/// The last hour of a station, by the time of measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strip {
    /// A ring: the cell of a half-minute is at its number modulo the length.
    cells: [StripCell; ARRAY_LEN],
    /// The number of the latest half-minute.
    newest: i64,
}

impl Strip {
    /// The number of cells.
    pub const N_CELLS: u32 = N_CELLS as u32;

    pub(crate) fn new(timestamp_us: i64) -> Self {
        Self { cells: [StripCell::default(); ARRAY_LEN], newest: number(timestamp_us) }
    }

    pub(crate) fn note(&mut self, timestamp_us: i64, anomaly_score: f64, is_anomaly: bool) {
        let number = number(timestamp_us);
        if number <= self.newest - LEN {
            return;
        }
        // The cells in between still hold another hour.
        let first_new = (self.newest + 1).max(number - LEN + 1);
        for between in first_new..=number {
            self.cells[place(between)] = StripCell::default();
        }
        self.newest = self.newest.max(number);
        self.cells[place(number)].add(anomaly_score, is_anomaly);
    }

    /// Takes in the stored past of a whole cell, part of which may be known already.
    pub(crate) fn recall(&mut self, timestamp_us: i64, max_score: f64, n_anomalies: u32) {
        let number = number(timestamp_us);
        if !(self.newest - LEN + 1..=self.newest).contains(&number) {
            return;
        }
        let cell = &mut self.cells[place(number)];
        cell.add(max_score, false);
        cell.n_anomalies = cell.n_anomalies.max(u8::try_from(n_anomalies).unwrap_or(u8::MAX));
    }

    /// Returns the beginning and the end of the hour of its latest cell.
    pub fn span(&self) -> (i64, i64) {
        ((self.newest - LEN + 1) * CELL_US, (self.newest + 1) * CELL_US)
    }

    /// Returns the hour before a time.
    pub fn before(&self, until_us: i64) -> StripCells {
        let last = number(until_us - 1);
        let known = self.newest - LEN + 1..=self.newest;
        let mut cells = [StripCell::default(); ARRAY_LEN];
        for (cell, number) in cells.iter_mut().zip(last - LEN + 1..=last) {
            if known.contains(&number) {
                *cell = self.cells[place(number)];
            }
        }
        StripCells(cells)
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
        // Late values find their cell; values that are too old are dropped.
        strip.note(130 * CELL_US, 0.9, false);
        strip.note(50 * CELL_US, 0.9, false);
        strip.note(5 * CELL_US, 0.9, false);
        let cells = strip.before(131 * CELL_US);
        assert_eq!(filled(&cells), [39, 89, 108, 119]);
        // Recalled values are not counted twice.
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
