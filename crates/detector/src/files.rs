//! The pair of files that a model is kept in, and how a file is written so that it is whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::artefact::{ArtefactError, sha256_hex};
use crate::detector::Detector;
use crate::meta::{FeatureMeta, ModelMeta, model_version, shares};

/// The artefact: everything that an event is judged by.
pub const ARTEFACT_FILE: &str = "isoforest.bin";
/// The metadata: what people and tools want to know of it.
pub const META_FILE: &str = "model_meta.json";

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is an artefact, and nothing that says what it is.
    #[error("`{}` has no `{META_FILE}` beside it", path.display())]
    NoMeta {
        /// The artefact.
        path: PathBuf,
    },
    /// The artefact is no detector, or not a whole one.
    #[error("`{}` is damaged or no model", path.display())]
    Artefact {
        /// The artefact.
        path: PathBuf,
        /// What is wrong with it.
        source: ArtefactError,
    },
    /// The metadata is not what it should be.
    #[error("`{}` is damaged or no model metadata", path.display())]
    Meta {
        /// The metadata.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The two files are not of one training.
    #[error(
        "`{}` does not match `{META_FILE}`, which describes model {model_version}: {difference}",
        path.display()
    )]
    Mismatch {
        /// The artefact.
        path: PathBuf,
        /// The model that the metadata is about.
        model_version: String,
        /// In what they differ.
        difference: &'static str,
    },
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`", path.display())]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
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
    pub fn save(&self, dir: &Path) -> Result<(), SaveError> {
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
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let meta_path = dir.join(META_FILE);
        let Some(meta) = read(&meta_path)? else {
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

    /// In what the metadata differs from the artefact with this checksum.
    fn contradiction(&self, sha256: &str) -> Option<&'static str> {
        /// The last bits of a threshold depend on the platform that computed it.
        const THRESHOLD_TOLERANCE: f64 = 1e-12;

        let meta = self.meta();
        let features =
            self.schema().features().iter().map(|feature| FeatureMeta::new(feature, None));
        let (false_alarm_rate, contamination) = shares(self.alarm_rule());
        if meta.sha256 != sha256 {
            Some("its checksum is another")
        } else if meta.model_version != model_version(&meta.trained_at, sha256) {
            Some("the model's name is not made of its date and checksum")
        } else if !features.eq(meta.features.iter().map(FeatureMeta::without_summary)) {
            Some("its features are others")
        } else if (meta.false_alarm_rate, meta.contamination) != (false_alarm_rate, contamination)
            || (meta.threshold - self.threshold()).abs() > THRESHOLD_TOLERANCE
        {
            Some("its threshold is another")
        } else if (meta.parameters.n_trees, meta.parameters.sample_size) != self.forest_size() {
            Some("its forest is of another size")
        } else {
            None
        }
    }
}

/// Writes a file whole or not at all.
///
/// A missing folder is made.
///
/// # Errors
///
/// Fails when the folder cannot be made or the file cannot be written; then an older file stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|source| SaveError { path: path.to_owned(), source })?;
    file.commit()
}

/// A file that is there whole or not at all.
///
/// What is written goes to a file beside it, which takes its place when it is on the disk. When this
/// is dropped without [`AtomicFile::commit`], an older file stays; a process that is killed leaves
/// the file beside it, too. Links are followed, and what is no file, such as a device or a pipe, is
/// written to as it is.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    file: File,
    /// The file beside it, until it has taken its place.
    temporary: Option<PathBuf>,
}

impl AtomicFile {
    /// Begins a file; a missing folder is made.
    ///
    /// # Errors
    ///
    /// Fails when the folder or the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, SaveError> {
        let create = || {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
                let file = File::options().write(true).open(&path)?;
                return Ok(Self { path, file, temporary: None });
            }
            let dir = path.parent().unwrap_or(Path::new(""));
            fs::create_dir_all(dir)?;
            let mut temporary_name =
                path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
            temporary_name.push(format!(".{}.tmp", std::process::id()));
            let temporary = dir.join(temporary_name);
            let file = File::create(&temporary)?;
            let new = Self { file, temporary: Some(temporary), path };
            if let Ok(older) = fs::metadata(&new.path) {
                // Who could not read the older file shall not read this one.
                new.file.set_permissions(older.permissions())?;
            }
            Ok(new)
        };
        create().map_err(|source| SaveError { path: path.to_owned(), source })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be brought to the disk or renamed; then an older file stays. When its new
    /// name cannot be brought to the disk either, that is told too.
    pub fn commit(mut self) -> Result<(), SaveError> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        let result = self.file.sync_all().and_then(|()| fs::rename(temporary, &self.path));
        if result.is_ok() {
            self.temporary = None;
        }
        result
            .and_then(|()| sync_dir(self.path.parent().unwrap_or(Path::new(""))))
            .map_err(|source| SaveError { path: self.path.clone(), source })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // What is left of it helps nobody, and whoever dropped it has an error to tell.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Makes a rename last: on Unix the name is part of the folder, which has to be written too.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// Windows keeps names in a journal and cannot open a folder as a file.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the Unix twin can fail")]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Read { path: path.to_owned(), source }),
    }
}
