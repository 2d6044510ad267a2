//! The arrows between the crates are those of ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::fs;

use crate::{files_below, has_ending, root};

/// Crates that the tests of `demo` may use besides: they inspect what the programs wrote, and run those
/// that the demo does not.
const USED_BY_TESTS_OF_DEMO: [&str; 6] =
    ["detector", "plant", "recording", "rig", "score", "sensor"];

/// The arrows as ARCHITECTURE.md draws them: each crate, and what it uses.
fn drawn() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let drawing =
        text.split("```").find(|block| block.contains("show       demo       uses ")).unwrap();
    let arrows = drawing.lines().filter_map(|line| {
        let (before, used) = line.split_once(" uses ")?;
        let name = before.split_whitespace().last()?;
        let used = used.split(", ").filter(|used| *used != "nothing of ours");
        Some((String::from(name), used.map(String::from).collect()))
    });
    arrows.collect()
}

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

/// All dependencies of a manifest, with the name of the table that each is in.
fn dependencies(manifest: &toml::Table) -> Vec<(&String, &String, &toml::Value)> {
    let mut all = Vec::new();
    let mut tables = vec![manifest];
    while let Some(table) = tables.pop() {
        for (key, value) in table {
            match value.as_table() {
                Some(listed) if key.ends_with("dependencies") => {
                    all.extend(listed.iter().map(|(name, value)| (key, name, value)));
                }
                // Such as `[target.'cfg(unix)'.dependencies]`.
                Some(inner) => tables.push(inner),
                None => {}
            }
        }
    }
    all
}

#[test]
fn a_crate_uses_only_crates_below_it() {
    let (manifests, drawn) = (manifests(), drawn());
    let names: Vec<&String> = manifests.keys().collect();
    assert_eq!(
        names,
        drawn.keys().collect::<Vec<_>>(),
        "ARCHITECTURE.md draws other crates than there are"
    );
    for (name, manifest) in &manifests {
        for (table, dependency, _) in dependencies(manifest) {
            let is_for_tests = name == "demo" && table == "dev-dependencies";
            let is_drawn = drawn[name].contains(dependency)
                || (is_for_tests && USED_BY_TESTS_OF_DEMO.contains(&dependency.as_str()));
            assert!(
                !manifests.contains_key(dependency) || is_drawn,
                "`{name}` must not use `{dependency}`"
            );
        }
    }
}

#[test]
fn versions_are_stated_once_for_the_whole_workspace() {
    for (name, manifest) in manifests() {
        for (_, dependency, value) in dependencies(&manifest) {
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

/// The names of the files below `src` of all crates that say a word.
fn sources_with(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in manifests().keys() {
        found.extend(files_below(&root().join("crates").join(name).join("src"), &[]));
    }
    found.retain(|path| {
        has_ending(path, &["rs"]) && fs::read_to_string(path).unwrap().contains(word)
    });
    found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().into()).collect()
}

#[test]
fn http_is_known_to_its_door_and_above() {
    for (name, manifest) in manifests() {
        let knows = ["axum", "hyper", "tower", "http-body-util"];
        let is_above = ["http-door", "pages", "server"].contains(&name.as_str());
        let used: Vec<&String> = dependencies(&manifest)
            .into_iter()
            .filter(|(table, dependency, _)| {
                *table == "dependencies" && knows.contains(&dependency.as_str())
            })
            .map(|(_, dependency, _)| dependency)
            .collect();
        assert!(is_above || used.is_empty(), "`{name}` must not know HTTP: {used:?}");
    }
}

#[test]
fn sqlite_is_known_to_its_backend() {
    for (name, manifest) in manifests() {
        let is_used = dependencies(&manifest)
            .into_iter()
            .any(|(table, dependency, _)| table == "dependencies" && dependency == "rusqlite");
        // `faults` looks at the file from outside.
        let may = ["store-sqlite", "faults"].contains(&name.as_str());
        assert!(!is_used || may, "`{name}` must not know SQLite");
    }
}

#[test]
fn only_a_main_reads_the_clock_or_ends_the_process() {
    for word in ["SystemTime::now", "Utc::now", "println!(", "process::exit"] {
        let elsewhere: Vec<String> = sources_with(word)
            .into_iter()
            .filter(|name| !["main.rs", "tests.rs"].contains(&name.as_str()))
            .collect();
        assert!(elsewhere.is_empty(), "{word}: {elsewhere:?}");
    }
}

#[test]
fn bincode_is_known_to_one_module() {
    assert_eq!(sources_with("bincode::"), ["envelope.rs"]);
}

#[test]
fn unsafe_code_is_in_the_kernels_and_in_one_allocator() {
    let mut names = sources_with("unsafe {");
    names.sort();
    assert_eq!(
        names,
        ["avx2.rs", "avx512.rs", "blocks.rs", "largest_allocation.rs", "loads.rs", "prefetch.rs"]
    );
}
