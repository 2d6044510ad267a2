//! The arrows between the crates are those of ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::fs;

use crate::root;

/// What each crate may use of ours, in dependencies and dev-dependencies alike.
const ARROWS: [(&str, &[&str]); 10] = [
    ("isoforest", &[]),
    ("sensor", &[]),
    ("plant", &["sensor"]),
    ("recording", &["sensor"]),
    ("store", &["sensor"]),
    ("detector", &["isoforest", "sensor"]),
    ("train", &["detector", "plant", "recording", "sensor"]),
    ("server", &["detector", "plant", "sensor", "store"]),
    ("simulate", &["plant", "recording", "sensor"]),
    // Its tests need everything: they look at what the programs wrote.
    ("demo", &["detector", "plant", "recording", "sensor", "server", "simulate", "train"]),
];

/// The dependencies of every crate, by the name of its folder.
fn manifests() -> BTreeMap<String, toml::Table> {
    fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| {
            let dir = entry.unwrap().path();
            let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
            (String::from(dir.file_name().unwrap().to_str().unwrap()), manifest.parse().unwrap())
        })
        .collect()
}

fn dependencies(manifest: &toml::Table) -> Vec<(&String, &toml::Value)> {
    let mut all = Vec::new();
    let mut tables = vec![manifest];
    while let Some(table) = tables.pop() {
        for (key, value) in table {
            match value.as_table() {
                Some(listed) if key.ends_with("dependencies") => all.extend(listed),
                // Such as `[target.'cfg(unix)'.dependencies]`.
                Some(inner) => tables.push(inner),
                None => {}
            }
        }
    }
    all
}

#[test]
fn a_crate_uses_only_what_stands_below_it() {
    let manifests = manifests();
    let names: Vec<&str> = manifests.keys().map(String::as_str).collect();
    let mut planned: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    planned.sort_unstable();
    assert_eq!(names, planned, "a crate came or went: draw its arrows here and in ARCHITECTURE.md");

    for (name, allowed) in ARROWS {
        for (dependency, _) in dependencies(&manifests[name]) {
            let is_ours = manifests.contains_key(dependency);
            assert!(
                !is_ours || allowed.contains(&dependency.as_str()),
                "`{name}` must not use `{dependency}`"
            );
        }
    }
}

#[test]
fn versions_are_stated_once_for_the_whole_workspace() {
    for (name, manifest) in manifests() {
        for (dependency, value) in dependencies(&manifest) {
            let is_shared = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            assert!(is_shared, "`{name}` states a version of `{dependency}` of its own");
        }
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(
            lints.and_then(toml::Value::as_bool),
            Some(true),
            "`{name}` has lints of its own"
        );
    }
}

#[test]
fn only_the_programs_own_the_clock_and_the_terminal() {
    for (name, _) in manifests() {
        let dir = root().join("crates").join(&name).join("src");
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs")
                || path.ends_with("main.rs")
            {
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            for forbidden in ["SystemTime::now", "Utc::now", "println!(", "process::exit"] {
                assert!(!source.contains(forbidden), "{}: {forbidden}", path.display());
            }
        }
    }
}
