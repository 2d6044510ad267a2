//! Any bytes are a forest that can be written down again, or are refused.

#![no_main]

use isoforest::IsolationForest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(forest) = IsolationForest::decode(bytes) {
        assert_eq!(forest.encode(), bytes);
    }
});
