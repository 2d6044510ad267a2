//! Trains a detector on events, saves it, loads it again and judges two events:
//! `cargo run -p detector --example detect`.

#![expect(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;

use detector::{Detector, Params};
use sensor::{Feature, FeatureSchema, SensorEvent};

/// 2026-01-01T00:00:00Z, in microseconds since 1970.
const BEGIN_US: i64 = 1_767_225_600_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let schema =
        FeatureSchema::new(vec![Feature::named("temperature_c"), Feature::named("flow_lpm")])?;
    let events = (0..2_000_u32)
        .map(|index| {
            // Flow falls as temperature rises.
            let phase = f64::from(index) * 0.618_034;
            event(&schema, index, 70.0 + 3.0 * phase.sin(), 12.0 - phase.sin())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let detector = Detector::fit(&schema, &events, &Params::default(), BEGIN_US)?;

    let dir = std::env::temp_dir().join(format!("detector-example-{}", std::process::id()));
    detector.save(&dir)?;
    let detector = Detector::load(&dir)?.ok_or("the model was not found")?;
    std::fs::remove_dir_all(&dir)?;

    println!("threshold {:.4}", detector.threshold());
    for (sequence, temperature_c, flow_lpm) in [(2_000, 71.0, 11.7), (2_001, 71.0, 5.0)] {
        let prediction = detector.assess(&event(&schema, sequence, temperature_c, flow_lpm)?);
        let label = if prediction.is_anomaly { "anomaly" } else { "normal" };
        println!(
            "{temperature_c} °C, {flow_lpm} l/min: score {:.4}, p-value {:.4}, {label}",
            prediction.anomaly_score, prediction.p_value
        );
        if prediction.is_anomaly {
            println!("    {}", detector.reasons(&prediction));
        }
    }
    Ok(())
}

/// Makes an event as a station would send it, a minute after the one before.
fn event(
    schema: &FeatureSchema,
    sequence: u32,
    temperature_c: f64,
    flow_lpm: f64,
) -> Result<SensorEvent, Box<dyn Error>> {
    let timestamp_us = BEGIN_US + i64::from(sequence) * 60_000_000;
    let timestamp = sensor::timestamp::format(timestamp_us);
    let json = format!(
        r#"{{"station_id":"press_1","sequence":{sequence},"timestamp":"{timestamp}","temperature_c":{temperature_c},"flow_lpm":{flow_lpm}}}"#
    );
    Ok(schema.parse(json.as_bytes(), timestamp_us)?)
}
