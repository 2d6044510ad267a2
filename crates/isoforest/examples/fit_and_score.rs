//! Fits a forest to a cloud of points, scores some others, and finds a threshold for a rate of false
//! alarms: `cargo run -p isoforest --example fit_and_score`.

#![expect(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;

use isoforest::{IsolationForest, Params, PathSum, Samples};

/// One in this many points like those of the training may exceed the threshold: a false-alarm rate of 1 %.
const ONE_FALSE_ALARM_IN: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let values = ring(10_000);
    let samples = Samples::new(&values, 2)?;
    let fit = IsolationForest::fit(&samples, &Params { seed: 7, ..Params::default() })?;

    // A point is judged by the trees that have not learnt it, as a new point is by all of them.
    let out_of_bag = fit.training_path_sums(&samples).out_of_bag;
    let mut normal: Vec<PathSum> = out_of_bag.into_iter().flatten().collect();
    // A short path is an anomalous one.
    normal.sort_unstable();
    let cut = normal[normal.len() / ONE_FALSE_ALARM_IN];
    let threshold = fit.forest.threshold_above(fit.forest.score(cut));

    println!("      x       y   score");
    for point in [[1.0, 0.0], [-0.7, 0.7], [0.0, 0.0], [1.4, 0.2], [3.0, 3.0]] {
        let sum = fit.forest.path_sum(&point);
        let label = if threshold.is_exceeded_by(sum) { "anomaly" } else { "normal" };
        println!("{:7.2} {:7.2}  {:.4}  {label}", point[0], point[1], fit.forest.score(sum));
    }
    Ok(())
}

/// Points on a ring of radius 1, row by row, a little off it.
fn ring(n_points: u32) -> Vec<f64> {
    let point = |index: u32| {
        // Steps by the golden angle and by another irrational number cover both evenly.
        let angle = f64::from(index) * 2.399_963;
        let radius = 1.0 + 0.1 * ((f64::from(index) * std::f64::consts::SQRT_2).fract() - 0.5);
        [radius * angle.cos(), radius * angle.sin()]
    };
    (0..n_points).flat_map(point).collect()
}
