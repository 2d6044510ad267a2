//! Figures: a line each while they are measured, a table at the end.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// A figure, what it was hoped to be, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) wanted: &'static str,
    pub(crate) measured: String,
}

/// Tells a figure.
pub(crate) fn tell(out: &mut dyn Write, figure: &Figure) -> std::io::Result<()> {
    writeln!(out, "{:<58} {:<44} (wanted: {})", figure.what, figure.measured, figure.wanted)?;
    out.flush()
}

/// Replaces the section of a file, and leaves what is before and after it.
pub(crate) fn write(
    path: &Path,
    heading: &str,
    preface: &str,
    figures: &[Figure],
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let (before, old) = text.split_once(heading).unwrap_or((&text, ""));
    let after = old.find("\n## ").map_or("", |end| old.split_at(end).1);
    let mut section = format!(
        "{}\n\n{heading}\n\n{preface}\n\n| | wanted | measured |\n|---|---|---|\n",
        before.trim_end()
    );
    for figure in figures {
        writeln!(section, "| {} | {} | {} |", figure.what, figure.wanted, figure.measured)
            .expect("a string can be written to");
    }
    section += after;
    std::fs::write(path, section).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Describes the machine and the commit.
pub(crate) fn machine() -> anyhow::Result<String> {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let n_cores = std::thread::available_parallelism().context("no processor")?;
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
    Ok(format!("- machine: {model}, {n_cores} cores\n- commit {}", commit.unwrap_or_default()))
}

/// Returns the middle one of some numbers.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_text_around_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("B.md");
        std::fs::write(&path, "# A\n\nbefore\n\n## Serving\n\nold\n\n## Pages\n\nafter\n").unwrap();
        let figure = Figure { what: "w", wanted: "1", measured: "2".into() };
        write(&path, "## Serving", "new", &[figure]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "# A\n\nbefore\n\n## Serving\n\nnew\n\n| | wanted | measured |\n|---|---|---|\n| w | 1 | 2 |\n\n## Pages\n\nafter\n"
        );
    }
}
