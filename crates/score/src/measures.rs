//! Measures of a ranking against the truth.

use detector::RowScore;
use rand::rngs::ChaCha8Rng;
use rand::{Rng as _, SeedableRng as _};

/// Draws of the bootstrap.
const N_DRAWS: usize = 200;
/// One of so many draws lies beyond each end of an interval, 2.5 %.
const BEYOND_EACH_END: usize = 40;
const SEED: u64 = 42;

/// A number that was measured, and where it would lie in 95 of 100 samples of as many rows.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The strangeness of a row: the first number, and of rows of which that is equal the second. Higher is stranger.
pub(crate) type Strangeness = [f64; 2];

/// Returns the strangeness of a row as the model judges it: by the p-value, and of equal ones by the score of the forest.
pub(crate) fn strangeness(score: &RowScore) -> Strangeness {
    [-score.p_value, score.anomaly_score]
}

/// A row that is ranked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) strangeness: Strangeness,
    pub(crate) is_anomalous: bool,
    /// The number of the block of rows that are alike, counted from 0.
    pub(crate) block: usize,
}

/// Rows from the strangest on, those that are as strange together.
#[derive(Debug)]
pub(crate) struct Ranking {
    groups: Vec<Vec<Row>>,
    n_blocks: usize,
}

/// The rows above a threshold, and the truth about them.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Cut {
    /// From here on, rows are called anomalous.
    #[serde(skip)]
    pub(crate) threshold: Strangeness,
    pub(crate) precision: f64,
    pub(crate) recall: f64,
    pub(crate) f1: f64,
}

impl Ranking {
    /// Ranks rows, of which none is NaN.
    pub(crate) fn new(rows: impl Iterator<Item = Row>) -> Self {
        let mut rows: Vec<Row> = rows.collect();
        let n_blocks = rows.iter().map(|row| row.block + 1).max().unwrap_or_default();
        rows.sort_by(|a, b| {
            let ([a, a_2], [b, b_2]) = (a.strangeness, b.strangeness);
            b.total_cmp(&a).then(b_2.total_cmp(&a_2))
        });
        let same = rows.chunk_by(|a, b| a.strangeness == b.strangeness);
        Self { groups: same.map(<[Row]>::to_vec).collect(), n_blocks }
    }

    /// Returns the cut with the largest F1, the harmonic mean of precision and recall.
    pub(crate) fn best_cut(&self) -> Cut {
        let n_anomalous = self.n_anomalous() as f64;
        let (mut n_true, mut n_called) = (0.0, 0.0);
        let cuts = self.groups.iter().map(|rows| {
            n_true += rows.iter().filter(|row| row.is_anomalous).count() as f64;
            n_called += rows.len() as f64;
            let (precision, recall) = (n_true / n_called, n_true / n_anomalous);
            let f1 = 2.0 * n_true / (n_called + n_anomalous);
            Cut { threshold: rows[0].strangeness, precision, recall, f1 }
        });
        cuts.reduce(|best, next| if next.f1 > best.f1 { next } else { best })
            .expect("there are rows")
    }

    /// Returns from where on at most this share of the normal rows is called anomalous; infinite if there is no such place.
    pub(crate) fn threshold_for(&self, false_alarm_rate: f64) -> Strangeness {
        let most = false_alarm_rate * self.n_normal() as f64;
        let mut n_false = 0;
        let mut threshold = [f64::INFINITY; 2];
        for rows in &self.groups {
            n_false += rows.iter().filter(|row| !row.is_anomalous).count();
            if n_false as f64 > most {
                break;
            }
            threshold = rows[0].strangeness;
        }
        threshold
    }

    /// Returns the number of anomalous and of normal rows from the strangest on, after each that are as strange.
    pub(crate) fn steps(&self) -> Vec<(f64, f64)> {
        let steps = self.groups.iter().scan((0.0, 0.0), |sums, rows| {
            let n_true = rows.iter().filter(|row| row.is_anomalous).count();
            sums.0 += n_true as f64;
            sums.1 += (rows.len() - n_true) as f64;
            Some(*sums)
        });
        steps.collect()
    }

    pub(crate) fn n_anomalous(&self) -> usize {
        self.count(true)
    }

    pub(crate) fn n_normal(&self) -> usize {
        self.count(false)
    }

    fn count(&self, wanted: bool) -> usize {
        self.groups.iter().flatten().filter(|row| row.is_anomalous == wanted).count()
    }

    /// Returns the area under the ROC curve and the average precision, of the rows and of draws of as many of their blocks with
    /// replacement: rows of one block are alike, and no independent witnesses.
    ///
    /// Each block is drawn as often as a Poisson variable of mean 1 says: Hanley and `MacGibbon`, "Creating non-parametric bootstrap
    /// samples using Poisson frequencies" (2006).
    pub(crate) fn measured(&self) -> [Measured; 2] {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let of_weights = |weights: &[f64]| {
            let sums = self.groups.iter().map(|rows| {
                let mut sums = (0.0, 0.0);
                for row in rows {
                    let sum = if row.is_anomalous { &mut sums.0 } else { &mut sums.1 };
                    *sum += weights[row.block];
                }
                sums
            });
            let sums: Vec<(f64, f64)> = sums.collect();
            [auroc(&sums), average_precision(&sums)]
        };
        let values = of_weights(&vec![1.0; self.n_blocks]);
        let mut draw = || (0..self.n_blocks).map(|_| poisson(&mut rng)).collect::<Vec<f64>>();
        let draws: Vec<[f64; 2]> = (0..N_DRAWS).map(|_| of_weights(&draw())).collect();
        [0, 1].map(|index| Measured::new(values[index], draws.iter().map(|draw| draw[index])))
    }
}

impl Measured {
    fn new(value: f64, draws: impl Iterator<Item = f64>) -> Self {
        // A draw without anomalous rows, or without normal ones, has no measure.
        let mut draws: Vec<f64> = draws.filter(|drawn| !drawn.is_nan()).collect();
        draws.sort_unstable_by(f64::total_cmp);
        let n_beyond = draws.len() / BEYOND_EACH_END;
        let low = draws.get(n_beyond).copied().unwrap_or(value);
        let high = draws.iter().rev().nth(n_beyond).copied().unwrap_or(value);
        Self { value, low, high }
    }
}

/// Area under the ROC curve: the chance that an anomalous row is stranger than a normal one, with half of those that are as
/// strange. `sums` are the weights of the anomalous and of the normal rows that are as strange, from the strangest on.
///
/// Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other" (1947).
fn auroc(sums: &[(f64, f64)]) -> f64 {
    let (mut n_true, mut area) = (0.0, 0.0);
    for &(positive, negative) in sums {
        area += negative * (n_true + positive / 2.0);
        n_true += positive;
    }
    let n_normal: f64 = sums.iter().map(|(_, negative)| negative).sum();
    area / (n_true * n_normal)
}

/// The mean of the precision at each anomalous row, from the strangest on; of the same sums.
fn average_precision(sums: &[(f64, f64)]) -> f64 {
    let (mut n_true, mut n_called, mut sum) = (0.0, 0.0, 0.0);
    for &(positive, negative) in sums {
        n_true += positive;
        n_called += positive + negative;
        if positive > 0.0 {
            sum += positive * n_true / n_called;
        }
    }
    sum / n_true
}

/// Rank correlation of two rankings of the same rows, from -1 to 1; rows that are as strange share their ranks. `None` if all rows of
/// one are.
///
/// Spearman, "The proof and measurement of association between two things" (1904).
pub(crate) fn rank_correlation(a: &[Strangeness], b: &[Strangeness]) -> Option<f64> {
    let [a, b] = [ranks(a), ranks(b)];
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sums = a.iter().zip(&b).fold([0.0; 3], |[ab, aa, bb], (a, b)| {
        let (a, b) = (a - mean, b - mean);
        [ab + a * b, aa + a * a, bb + b * b]
    });
    let [ab, aa, bb] = sums;
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

/// Returns the rank of each row, from 0 for the least strange; rows that are as strange have the mean of theirs.
fn ranks(rows: &[Strangeness]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| {
        rows[a][0].total_cmp(&rows[b][0]).then(rows[a][1].total_cmp(&rows[b][1]))
    });
    let mut ranks = vec![0.0; rows.len()];
    let mut n_before = 0;
    for same in order.chunk_by(|&a, &b| rows[a] == rows[b]) {
        let rank = n_before as f64 + (same.len() as f64 - 1.0) / 2.0;
        for &row in same {
            ranks[row] = rank;
        }
        n_before += same.len();
    }
    ranks
}

/// Draws from a Poisson distribution of mean 1.
fn poisson(rng: &mut ChaCha8Rng) -> f64 {
    /// Chances of at most 0, 1, 2 and so on.
    const UP_TO: [f64; 8] = [
        0.367_879_441_171_442_3,
        0.735_758_882_342_884_6,
        0.919_698_602_928_605_8,
        0.981_011_843_123_846_2,
        0.996_340_153_172_656_3,
        0.999_405_815_182_418_3,
        0.999_916_758_850_711_9,
        0.999_989_750_803_325_4,
    ];
    // 32 bits are fine enough, and half of the draws.
    let drawn = f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0);
    UP_TO.iter().filter(|&&chance| drawn >= chance).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(scores: &[f64], truths: &[u8]) -> Ranking {
        let row = |(block, (&score, &truth)): (usize, (&f64, &u8))| Row {
            strangeness: [score, 0.0],
            is_anomalous: truth == 1,
            block,
        };
        Ranking::new(scores.iter().zip(truths).enumerate().map(row))
    }

    /// The values are those of scikit-learn 1.9 for the same rows, ties included.
    #[test]
    fn areas_and_precision_are_those_of_the_field() {
        let ranking = ranking(
            &[0.9, 0.8, 0.8, 0.8, 0.7, 0.5, 0.5, 0.3, 0.2, 0.1],
            &[1, 0, 1, 1, 0, 1, 0, 0, 0, 1],
        );
        let [auroc, average] = ranking.measured();
        assert!((auroc.value - 0.66).abs() < 1e-12, "{auroc:?}");
        assert!((average.value - 0.714_285_714_285_714_2).abs() < 1e-12, "{average:?}");
        assert!(average.low < average.value && average.value < average.high, "{average:?}");
        let best = ranking.best_cut();
        assert_eq!((best.threshold, best.precision, best.recall), ([0.8, 0.0], 0.75, 0.6));
    }

    /// The values are those of `SciPy` 1.17 for the same rows.
    #[test]
    fn ranks_are_compared_with_ties() {
        let rows = |scores: &[f64]| scores.iter().map(|&score| [score, 0.0]).collect::<Vec<_>>();
        let a = rows(&[1.0, 2.0, 2.0, 4.0, 5.0]);
        let b = rows(&[2.0, 1.0, 3.0, 3.0, 5.0]);
        let correlation = rank_correlation(&a, &b).unwrap();
        assert!((correlation - 0.763_157_894_736_842_1).abs() < 1e-12, "{correlation}");
        assert_eq!(rank_correlation(&a, &a), Some(1.0));
        assert_eq!(rank_correlation(&a, &rows(&[1.0; 5])), None);
    }

    #[test]
    fn a_perfect_ranking_has_no_interval_and_a_constant_one_knows_nothing() {
        let perfect = ranking(&[3.0, 2.0, 1.0], &[1, 1, 0]);
        assert_eq!(perfect.measured()[0], Measured { value: 1.0, low: 1.0, high: 1.0 });
        assert_eq!(ranking(&[1.0; 4], &[1, 0, 0, 1]).measured()[0].value, 0.5);
    }

    #[test]
    fn a_threshold_keeps_to_its_rate() {
        let ranking = ranking(&[5.0, 4.0, 3.0, 3.0, 2.0, 1.0], &[1, 0, 0, 0, 1, 0]);
        assert_eq!(ranking.threshold_for(0.0)[0], 5.0);
        assert_eq!(ranking.threshold_for(0.25)[0], 4.0);
        assert_eq!(ranking.threshold_for(0.5)[0], 4.0, "a third and a fourth have the same score");
        assert_eq!(ranking.threshold_for(0.75)[0], 2.0);
    }
}
