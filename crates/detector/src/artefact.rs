//! A detector as bytes. `docs/model-format.md` describes them one by one.

use std::fmt::Write as _;

use isoforest::{DecodeError, IsolationForest, PathSum, envelope};
use sensor::{Feature, FeatureSchema, InvalidSchema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::calibration::{Calibration, Cut};

/// The first eight bytes of an `isoforest.bin`.
pub const DETECTOR_KIND: [u8; 8] = *b"\x89IFD\r\n\x1a\n";
/// The format version that is written; this and all earlier ones are read.
pub const DETECTOR_VERSION: u32 = 2;

/// An error that occurs when bytes are read as a detector.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ArtefactError {
    /// The file, or the forest within it, could not be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The features make no schema.
    #[error("its features cannot be used")]
    Schema(#[from] InvalidSchema),
    /// Parts of the file do not belong together.
    #[error("it contradicts itself: {0}")]
    Inconsistent(&'static str),
}

/// The parts of a detector that are kept in its file.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) schema: FeatureSchema,
    pub(crate) forest: IsolationForest,
    pub(crate) calibration: Calibration,
}

/// The payload of all versions, whose forests differ. Names and columns are borrowed from it: their length is checked
/// against the bytes that are there before anything is made from them.
#[derive(Serialize, Deserialize)]
struct DetectorV1<'a> {
    #[serde(borrow)]
    features: Vec<FeatureV1<'a>>,
    cut: CutV1,
    /// A `u64` an out-of-bag path sum, ascending.
    sums: &'a [u8],
    /// A forest in its own envelope.
    forest: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct FeatureV1<'a> {
    name: &'a str,
    unit: Option<&'a str>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    optional: bool,
}

#[derive(Serialize, Deserialize)]
enum CutV1 {
    FalseAlarmRate { rate: f64 },
    Contamination { share: f64, lower: u64, upper: u64, weight: f64 },
}

impl Parts {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { schema, forest, calibration } = self;
        let features = schema.features().iter().map(|feature| FeatureV1 {
            name: &feature.name,
            unit: feature.unit.as_deref(),
            minimum: feature.minimum,
            maximum: feature.maximum,
            optional: feature.optional,
        });
        let cut = match calibration.cut {
            Cut::FalseAlarmRate(rate) => CutV1::FalseAlarmRate { rate },
            Cut::Contamination { share, lower, upper, weight } => CutV1::Contamination {
                share,
                lower: lower.to_bits(),
                upper: upper.to_bits(),
                weight,
            },
        };
        let sums: Vec<u8> =
            calibration.sums.iter().flat_map(|sum| sum.to_bits().to_le_bytes()).collect();
        let forest = forest.encode();
        let detector =
            DetectorV1 { features: features.collect(), cut, sums: &sums, forest: &forest };
        envelope::seal(DETECTOR_KIND, DETECTOR_VERSION, &detector)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ArtefactError> {
        use ArtefactError::Inconsistent;

        let detector: DetectorV1<'_> = envelope::open(DETECTOR_KIND, DETECTOR_VERSION, bytes)?;
        let features = detector.features.into_iter().map(|feature| Feature {
            name: feature.name.into(),
            unit: feature.unit.map(String::from),
            minimum: feature.minimum,
            maximum: feature.maximum,
            optional: feature.optional,
        });
        let schema = FeatureSchema::new(features.collect())?;
        let forest = IsolationForest::decode(detector.forest)?;
        if forest.conventions().n_features != schema.len() {
            return Err(Inconsistent("the forest has another number of features than the schema"));
        }

        let (sums, []) = detector.sums.as_chunks::<8>() else {
            return Err(Inconsistent("a path sum is cut off"));
        };
        let sums: Vec<PathSum> =
            sums.iter().map(|&bytes| PathSum::from_bits(u64::from_le_bytes(bytes))).collect();
        if sums.is_empty() || !sums.is_sorted() {
            return Err(Inconsistent("path sums are missing or out of order"));
        }
        let cut = match detector.cut {
            CutV1::FalseAlarmRate { rate } => Cut::FalseAlarmRate(rate),
            CutV1::Contamination { share, lower, upper, weight } => {
                if lower > upper || !(0.0..1.0).contains(&weight) {
                    return Err(Inconsistent("the cut lies outside of its neighbours"));
                }
                Cut::Contamination {
                    share,
                    lower: PathSum::from_bits(lower),
                    upper: PathSum::from_bits(upper),
                    weight,
                }
            }
        };
        let calibration = Calibration { sums, cut };
        if !calibration.is_usable() {
            return Err(Inconsistent("the alarm rule asks for more than the path sums can tell"));
        }
        Ok(Self { schema, forest, calibration })
    }
}

/// Returns the SHA-256 of bytes in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}
