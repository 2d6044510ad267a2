//! Explains a score: how much each feature raised or lowered it.
//! `cargo run -p isoforest --example explain`.

#![expect(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;

use isoforest::{IsolationForest, Params, Samples};

const FEATURES: [&str; 3] = ["temperature", "pressure", "noise"];

fn main() -> Result<(), Box<dyn Error>> {
    // Pressure follows temperature; noise is independent of both.
    let values: Vec<f64> = (0..5_000)
        .flat_map(|index| {
            let phase = f64::from(index) * 0.618_034;
            let temperature = 20.0 + 5.0 * phase.sin();
            [temperature, 2.0 * temperature, 60.0 + 3.0 * (phase * 7.3).cos()]
        })
        .collect();
    let samples = Samples::new(&values, FEATURES.len())?;
    let forest = IsolationForest::fit(&samples, &Params::default())?.forest;

    for point in [[20.0, 40.0, 60.0], [20.0, 40.0, 90.0], [15.0, 50.0, 60.0]] {
        println!("{point:?}: score {:.4}", forest.score_one(&point));
        let contributions = forest.contributions(&point);
        for (name, contribution) in FEATURES.iter().zip(&contributions) {
            println!("    {name:12} {contribution:+.4}");
        }
        // The contributions add up to the score: it is 2^(sum - 1).
        let total: f64 = contributions.iter().sum();
        assert!((forest.score_one(&point) - (total - 1.0).exp2()).abs() < 1e-9);
    }
    Ok(())
}
