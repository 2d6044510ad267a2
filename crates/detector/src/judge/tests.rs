//! The judge against its definition: golden vectors of a reference implementation.

use std::fs;
use std::path::{Path, PathBuf};

use super::tail::CONSTANT_NATS_MAX;
use super::*;

/// The forest of the reference draws other numbers, so that its values are taken from the golden files.
const TOLERANCE: f64 = 1e-9;

/// A table of numbers and texts.
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(String::from).collect());
        Self { head: lines.next().unwrap(), rows: lines.collect() }
    }

    fn column(&self, name: &str) -> usize {
        self.head.iter().position(|head| head == name).unwrap()
    }

    /// Returns a number; an empty cell is NaN.
    fn number(&self, row: usize, column: usize) -> f64 {
        let cell = &self.rows[row][column];
        if cell.is_empty() { f64::NAN } else { cell.parse().unwrap() }
    }

    /// Returns the columns whose name begins with `prefix`, row after row.
    fn numbers(&self, prefix: &str) -> (Vec<f64>, usize) {
        let is_one = |name: &String| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.parse::<usize>().is_ok())
        };
        let columns: Vec<usize> =
            (0..self.head.len()).filter(|&index| is_one(&self.head[index])).collect();
        let rows = 0..self.rows.len();
        let values =
            rows.flat_map(|row| columns.iter().map(move |&column| self.number(row, column)));
        (values.collect(), columns.len())
    }
}

fn learn(values: &[f64], n_features: usize, forest: &[f64]) -> (Judge, Vec<f64>) {
    let (judge, raw) = UnscaledJudge::learn(values, n_features, forest);
    judge.scaled(&raw)
}

#[track_caller]
fn assert_near(found: f64, expected: f64, place: &str) {
    let difference = (found - expected).abs() / expected.abs().max(1.0);
    assert!(difference <= TOLERANCE, "{place}: {found} for {expected}");
}

#[test]
fn the_judge_says_what_the_reference_says() {
    let dir = golden_dir();
    if !dir.exists() {
        println!("skipped: {} is not there", dir.display());
        return;
    }
    for name in ["plant", "holes", "absurd"] {
        let table = |kind: &str| Table::read(&dir.join(format!("{name}_{kind}.csv")));
        check(name, &table("train"), &table("query"), &table("out"));
    }
}

fn check(name: &str, train: &Table, query: &Table, out: &Table) {
    let (rows, n_features) = train.numbers("x");
    let of_forest = train.column("forest_out_of_bag");
    let left_out: Vec<usize> =
        rows_beyond_a_gap(&rows, n_features).iter().map(|row| row.row).collect();
    let expected = (0..train.rows.len()).filter(|&row| train.number(row, of_forest).is_nan());
    assert!(expected.eq(left_out.iter().copied()), "{name}: rows left out: {left_out:?}");

    let is_kept = |row: &usize| !left_out.contains(row);
    let kept: Vec<usize> = (0..train.rows.len()).filter(is_kept).collect();
    let values: Vec<f64> =
        kept.iter().flat_map(|&row| &rows[row * n_features..][..n_features]).copied().collect();
    let forest: Vec<f64> = kept.iter().map(|&row| train.number(row, of_forest)).collect();
    let (judge, mut normal) = learn(&values, n_features, &forest);
    normal.sort_unstable_by(f64::total_cmp);

    let (queries, _) = query.numbers("x");
    let (nats, _) = out.numbers("tail_");
    let (residuals, _) = out.numbers("relation_");
    for (index, row) in queries.chunks_exact(n_features).enumerate() {
        let place = format!("{name}, query {index}");
        let number = |column: &str| out.number(index, out.column(column));
        let found = judge.strangeness(row, number("forest"));
        let of_views = [number("nats_forest"), number("nats_tail"), number("nats_relation")];
        let expected = combined(of_views[0], of_views[1], of_views[2]);
        // The reference knows no other bound for a constant than for all tails.
        let of_row = &nats[index * n_features..][..n_features];
        let has_moved = |feature: usize| {
            judge.tails[feature].upper.is_constant() && of_row[feature] > CONSTANT_NATS_MAX
        };
        let is_bounded = (0..n_features).any(has_moved);
        let as_strange = normal.len() - normal.partition_point(|&normal| normal < found.value);
        let p_value = (as_strange + 1) as f64 / (normal.len() + 1) as f64;
        if is_bounded {
            assert!(p_value <= 0.01, "{place}: {p_value}");
        } else {
            assert_near(found.value, expected.value, &place);
            assert_near(p_value, number("p"), &place);
        }
        let evidence = match out.rows[index][out.column("view")].as_str() {
            "forest" => Evidence::Forest,
            "tail" | "outside" => Evidence::Outside,
            _ => Evidence::Relation,
        };
        assert_eq!(found.evidence, evidence, "{place}");
        let (found_nats, found_residuals) = (judge.nats_of(row), judge.residuals_of(row));
        for feature in 0..n_features {
            let place = format!("{place}, feature {feature}");
            let expected = if has_moved(feature) { CONSTANT_NATS_MAX } else { of_row[feature] };
            assert_near(found_nats[feature], expected, &place);
            let residual = found_residuals[feature].deviations;
            assert_near(residual, residuals[index * n_features + feature], &place);
        }
    }
}

/// Rows of two causes and noise, one of them sometimes far off.
fn plant(n_features: usize, n_rows: usize) -> Vec<f64> {
    let mut state = n_features as u64;
    let mut gaussian = || -> f64 {
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from((state >> 32) as u32) / f64::from(u32::MAX)
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    };
    let weights: Vec<[f64; 2]> = (0..n_features).map(|_| [gaussian(), gaussian()]).collect();
    let mut values = Vec::with_capacity(n_rows * n_features);
    for row in 0..n_rows {
        let [a, b] = [gaussian(), gaussian()];
        for (feature, weights) in weights.iter().enumerate() {
            let off =
                if row % 9 == 0 && row % n_features == feature { 2.0 * gaussian() } else { 0.0 };
            values.push(100.0 + a * weights[0] + b * weights[1] + 0.5 * gaussian() + off);
        }
    }
    values
}

#[test]
fn residuals_lie_within_their_bounds_which_change_no_judgement() {
    for n_features in [17, 40, 131] {
        let values = plant(n_features, 1_500);
        let forest: Vec<f64> = (0..1_500).map(|row| f64::from(row % 700)).collect();
        let (judge, _) = learn(&values, n_features, &forest);
        let mut without = judge.clone();
        without.relation.bounds = None;
        let mut n_decided = 0;
        for (row, &forest) in values.chunks_exact(n_features).zip(&forest) {
            let residuals = judge.residuals_of(row);
            let bounds = judge.relation.bounds(row);
            n_decided += usize::from(bounds.is_some());
            for (feature, (lowest, highest)) in bounds.into_iter().flatten() {
                let residual = residuals[feature].deviations;
                assert!((lowest..=highest).contains(&residual), "{lowest} {residual} {highest}");
                assert!(highest - lowest < 0.5, "{lowest} {highest}");
            }
            assert_eq!(judge.strangeness(row, forest), without.strangeness(row, forest));
        }
        assert!(n_decided > 1_200, "{n_features}: {n_decided}");
    }
}

fn golden_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let shared = std::env::var("SHARED_DIR").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    shared.join("prototypes/judge/golden")
}
