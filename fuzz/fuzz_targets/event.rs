//! Any bytes are an event that holds, or are refused with every fault named.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sensor::FeatureSchema;

/// 2026-11-22T12:00:00Z.
const NOW_US: i64 = 1_795_348_800_000_000;

fuzz_target!(|bytes: &[u8]| {
    let schema = FeatureSchema::default();
    match schema.parse(bytes, NOW_US) {
        Ok(event) => {
            // What passed one door passes the other, and is the same event.
            let (station, sequence) = (event.station_id().clone(), event.sequence());
            let again =
                schema.event(station, sequence, event.timestamp_us(), event.values()).unwrap();
            assert_eq!(schema.fingerprint(&again), schema.fingerprint(&event));
        }
        Err(invalid) => assert!(!invalid.faults().is_empty()),
    }
});
