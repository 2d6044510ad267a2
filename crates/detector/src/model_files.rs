//! The pair of files that a model is kept in.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use files::{WriteError, write_atomically};
use isoforest::envelope;
use sensor::ModelVersion;
use sha2::{Digest as _, Sha256};

use crate::artefact::{ArtefactError, DETECTOR_KIND, in_hex, sha256_hex};
use crate::detector::Detector;
use crate::meta::{FeatureMeta, ModelMeta, shares};

/// The artefact: everything that an event is judged by.
pub const ARTEFACT_FILE: &str = "isoforest.bin";
/// The metadata: what people and tools want to know of it.
pub const META_FILE: &str = "model_meta.json";

/// Bytes of the largest artefact.
const ARTEFACT_LEN_MAX: u64 = (envelope::HEADER_LEN + envelope::PAYLOAD_LEN_MAX) as u64;
/// Bytes of the largest metadata.
const META_LEN_MAX: u64 = 64 << 20;

/// An error that occurs when a model is loaded. Its text names the file without its folder, which
/// clients must not see; callers that know the folder add it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file could not be read.
    #[error("cannot read `{}`", name(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// It is a pipe, a device or a folder, which may be endless; it was not read.
    #[error("`{}` is not a regular file", name(path))]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It is larger than any model; it was not read.
    #[error("`{}` has {len} bytes, and a model has up to {len_max}", name(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The largest length.
        len_max: u64,
    },
    /// There is an artefact, and nothing that says what it is.
    #[error("`{}` has no `{META_FILE}` beside it", name(path))]
    NoMeta {
        /// The artefact.
        path: PathBuf,
    },
    /// The artefact is no detector, or not a whole one.
    #[error("`{}` is damaged or no model", name(path))]
    Artefact {
        /// The artefact.
        path: PathBuf,
        /// The fault.
        source: ArtefactError,
    },
    /// The metadata is not what it should be.
    #[error("`{}` is damaged or no model metadata", name(path))]
    Meta {
        /// The metadata.
        path: PathBuf,
        /// The fault.
        source: serde_json::Error,
    },
    /// The two files are not of one training.
    #[error(
        "`{}` does not match `{META_FILE}`, which describes model {model_version}: {difference}",
        name(path)
    )]
    Mismatch {
        /// The artefact.
        path: PathBuf,
        /// The model that the metadata is about.
        model_version: ModelVersion,
        /// In what they differ.
        difference: &'static str,
    },
}

impl Detector {
    /// Writes the artefact and its metadata to a folder, which is made where it is missing.
    ///
    /// The artefact comes first: a stop between the two leaves a pair that does not match and whose
    /// metadata says which training to repeat.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), WriteError> {
        let mut meta =
            serde_json::to_string_pretty(self.meta()).expect("names and finite numbers are JSON");
        meta.push('\n');
        write_atomically(&dir.join(ARTEFACT_FILE), &self.encode())?;
        write_atomically(&dir.join(META_FILE), meta.as_bytes())
    }

    /// Reads a model from a folder; `None` when there is no artefact in it.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read, is damaged, or is not of the same training as the other.
    pub fn load(dir: &Path) -> Result<Option<Self>, LoadError> {
        let path = dir.join(ARTEFACT_FILE);
        let Some(bytes) = read(&path, ARTEFACT_LEN_MAX, Some(&DETECTOR_KIND))? else {
            return Ok(None);
        };
        let meta_path = dir.join(META_FILE);
        let Some(meta) = read(&meta_path, META_LEN_MAX, None)? else {
            return Err(LoadError::NoMeta { path });
        };
        let meta: ModelMeta = serde_json::from_slice(&meta)
            .map_err(|source| LoadError::Meta { path: meta_path, source })?;
        let model_version = meta.model_version.clone();
        let detector = Self::decode(&bytes, meta)
            .map_err(|source| LoadError::Artefact { path: path.clone(), source })?;
        match detector.contradiction(&sha256_hex(&bytes)) {
            None => Ok(Some(detector)),
            Some(difference) => Err(LoadError::Mismatch { path, model_version, difference }),
        }
    }

    /// Returns `true` if the files in a folder are those that this was read from. It takes little memory, however large they are.
    pub fn is_loaded_from(&self, dir: &Path) -> bool {
        let Ok(Some(meta)) = read(&dir.join(META_FILE), META_LEN_MAX, None) else { return false };
        let has_meta =
            serde_json::from_slice(&meta).is_ok_and(|meta: ModelMeta| meta == *self.meta());
        has_meta
            && sha256_of(&dir.join(ARTEFACT_FILE)).is_ok_and(|sha256| sha256 == self.meta().sha256)
    }

    /// Returns how the metadata differs from the artefact with this checksum.
    fn contradiction(&self, sha256: &str) -> Option<&'static str> {
        /// The last bits of a threshold depend on the platform that computed it.
        const THRESHOLD_TOLERANCE: f64 = 1e-12;

        let meta = self.meta();
        let features =
            self.schema().features().iter().map(|feature| FeatureMeta::new(feature, None));
        let (false_alarm_rate, contamination) = shares(self.alarm_rule());
        let is_near = (meta.threshold - self.threshold()).abs() <= THRESHOLD_TOLERANCE;
        if meta.sha256 != sha256 {
            Some("its checksum is another")
        } else if meta.model_version != ModelVersion::new(&meta.trained_at, sha256) {
            Some("the model's name is not made of its date and checksum")
        } else if !features.eq(meta.features.iter().map(FeatureMeta::without_summary)) {
            Some("its features are others")
        } else if !self.has_baselines_of_meta() {
            Some("its baselines are those of other stations")
        } else if !self.has_lessons_of_meta() {
            Some("it counts other lessons")
        } else if (meta.false_alarm_rate, meta.contamination) != (false_alarm_rate, contamination)
            || !is_near
        {
            Some("its threshold is another")
        } else if (meta.parameters.n_trees, meta.parameters.sample_size) != self.forest_size() {
            Some("its forest is of another size")
        } else {
            None
        }
    }
}

/// Reads a file of up to `len_max` bytes; `None` when there is none. Where it should be of a kind, its header is read
/// first: of another kind, nothing more is, and of this one a byte more than the header says.
fn read(path: &Path, len_max: u64, kind: Option<&[u8]>) -> Result<Option<Vec<u8>>, LoadError> {
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Read { path: path.to_owned(), source }),
    };
    if !file.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    if file.len() > len_max {
        return Err(LoadError::TooLarge { path: path.to_owned(), len: file.len(), len_max });
    }
    let bytes = read_bounded(path, len_max, kind);
    bytes.map(Some).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// Returns the SHA-256 of a file in hex, of no more than an artefact has.
fn sha256_of(path: &Path) -> io::Result<String> {
    // A pipe or a device is no artefact, and its end may never come.
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = BufReader::with_capacity(64 << 10, File::open(path)?.take(ARTEFACT_LEN_MAX));
    let mut hasher = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(in_hex(&hasher.finalize()));
        }
        hasher.update(bytes);
        let len = bytes.len();
        file.consume(len);
    }
}

fn read_bounded(path: &Path, len_max: u64, kind: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    let mut len_max = len_max;
    if let Some(kind) = kind {
        (&file).take(envelope::HEADER_LEN as u64).read_to_end(&mut bytes)?;
        if !bytes.starts_with(kind) {
            return Ok(bytes);
        }
        // One more, so that what follows is noticed.
        let told = envelope::expected_len(&bytes).map(|told| told.saturating_add(1));
        len_max = told.map_or(len_max, |told| len_max.min(told));
    }
    // It may have grown meanwhile.
    (&file).take(len_max.saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the name of a file without its folder.
fn name(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or(OsStr::new(""))).display()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail where files were read to their end before their length was compared with their header.
    #[test]
    fn no_more_of_an_artefact_is_read_than_its_header_says() {
        let mut bytes = envelope::seal(DETECTOR_KIND, 2, &vec![7_u8; 100]);
        let len = bytes.len();
        bytes.resize(1_000_000, 0);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        let read = read_bounded(file.path(), ARTEFACT_LEN_MAX, Some(&DETECTOR_KIND)).unwrap();
        assert_eq!(read.len(), len + 1);
        assert_eq!(read_bounded(file.path(), META_LEN_MAX, None).unwrap().len(), 1_000_000);
    }
}
