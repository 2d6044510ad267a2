//! Saving, loading, and every way in which a pair of files can be wrong.

use std::fs;
use std::path::Path;

use detector::{ARTEFACT_FILE, Detector, LoadError, META_FILE, Params};
use files::write_atomically;

use crate::{events, fit};

fn saved() -> (tempfile::TempDir, Detector) {
    let dir = tempfile::tempdir().unwrap();
    let detector = fit(&events(500, 1), &Params::default());
    detector.save(dir.path()).unwrap();
    (dir, detector)
}

fn load_error(dir: &Path) -> LoadError {
    Detector::load(dir).unwrap_err()
}

#[test]
fn a_loaded_detector_judges_as_the_saved_one() {
    let (dir, detector) = saved();
    let loaded = Detector::load(dir.path()).unwrap().unwrap();
    assert_eq!(loaded.meta(), detector.meta());
    for event in &events(50, 2) {
        assert_eq!(loaded.assess(event), detector.assess(event));
    }
    let names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_folder_without_an_artefact_holds_no_model() {
    let (dir, _) = saved();
    fs::remove_file(dir.path().join(ARTEFACT_FILE)).unwrap();
    assert!(Detector::load(dir.path()).unwrap().is_none());
    assert!(Detector::load(&dir.path().join("nowhere")).unwrap().is_none());
}

/// Seen to hang on the pipe, and to read 4 GB, without a look at what the file is.
#[cfg(unix)]
#[test]
fn files_that_may_have_no_end_are_refused_unread() {
    let (dir, _) = saved();
    for name in [ARTEFACT_FILE, META_FILE] {
        let file = dir.path().join(name);
        let whole = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        assert!(matches!(load_error(dir.path()), LoadError::NotAFile { .. }), "{name}");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert!(matches!(load_error(dir.path()), LoadError::NotAFile { .. }), "{name}");
        fs::remove_file(&file).unwrap();
        fs::File::create(&file).unwrap().set_len(4 << 30).unwrap();
        assert!(matches!(load_error(dir.path()), LoadError::TooLarge { .. }), "{name}");
        fs::write(&file, whole).unwrap();
    }
    assert!(Detector::load(dir.path()).unwrap().is_some());
}

#[test]
fn an_artefact_without_metadata_is_refused() {
    let (dir, _) = saved();
    fs::remove_file(dir.path().join(META_FILE)).unwrap();
    assert!(matches!(load_error(dir.path()), LoadError::NoMeta { .. }));
}

#[test]
fn a_damaged_artefact_is_refused_wherever_it_is_damaged() {
    let (dir, _) = saved();
    let file = dir.path().join(ARTEFACT_FILE);
    let whole = fs::read(&file).unwrap();
    for position in (0..whole.len()).step_by(whole.len() / 97) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x10;
        fs::write(&file, damaged).unwrap();
        assert!(matches!(load_error(dir.path()), LoadError::Artefact { .. }), "byte {position}");
    }
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(load_error(dir.path()), LoadError::Artefact { .. }));
}

#[test]
fn files_of_two_trainings_are_no_pair() {
    let (dir, _) = saved();
    let other = fit(&events(500, 2), &Params::default());
    write_atomically(&dir.path().join(ARTEFACT_FILE), &other.encode()).unwrap();
    let message = load_error(dir.path()).to_string();
    assert!(
        message.contains("does not match") && message.contains("its checksum is another"),
        "{message}"
    );
}

#[test]
fn metadata_that_was_edited_is_refused() {
    let (dir, detector) = saved();
    let file = dir.path().join(META_FILE);
    let text = fs::read_to_string(&file).unwrap();
    let check = |from: &str, to: &str| {
        assert!(text.contains(from));
        fs::write(&file, text.replace(from, to)).unwrap();
        load_error(dir.path())
    };
    assert!(matches!(check("sound_db", "sound_bb"), LoadError::Mismatch { .. }));
    assert!(matches!(check("\"maximum\": 100.0", "\"maximum\": 7.0"), LoadError::Mismatch { .. }));
    assert!(matches!(check("\"threshold\": 0.", "\"threshold\": 0.1"), LoadError::Mismatch { .. }));
    assert!(matches!(
        check("\"false_alarm_rate\": 0.01", "\"false_alarm_rate\": 0.5"),
        LoadError::Mismatch { .. }
    ));
    assert!(matches!(check("\"n_trees\": 100", "\"n_trees\": 99"), LoadError::Mismatch { .. }));
    let version = detector.meta().model_version.as_str();
    assert!(matches!(check(version, "2020-01-01-abc"), LoadError::Mismatch { .. }));
    assert!(matches!(check("\"seed\"", "\"seeds\""), LoadError::Meta { .. }));
    fs::write(&file, "").unwrap();
    assert!(matches!(load_error(dir.path()), LoadError::Meta { .. }));
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deep/er/file");
    write_atomically(&file, b"old").unwrap();
    // A folder in the place of the file cannot be replaced.
    let taken = dir.path().join("taken");
    fs::create_dir_all(taken.join("inside")).unwrap();
    let error = write_atomically(&taken, b"new").unwrap_err();
    assert_eq!(error.path, taken);
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "a temporary file was left");
}
