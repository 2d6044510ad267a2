//! Figures: a line each while they are measured, a table at the end.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

/// A figure, what it was hoped to be, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) wanted: &'static str,
    pub(crate) measured: String,
}

/// The heading of the section that is written; it goes to the end of the file.
const HEADING: &str = "## Serving";

/// Tells a figure.
pub(crate) fn tell(out: &mut dyn Write, figure: &Figure) -> std::io::Result<()> {
    writeln!(out, "{:<58} {:<44} (wanted: {})", figure.what, figure.measured, figure.wanted)?;
    out.flush()
}

/// Writes the section of a file anew, and leaves what stands before it.
pub(crate) fn write(path: &Path, preface: &str, figures: &[Figure]) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let before = text.split(HEADING).next().unwrap_or_default().trim_end();
    let mut section =
        format!("{before}\n\n{HEADING}\n\n{preface}\n\n| | wanted | measured |\n|---|---|---|\n");
    for figure in figures {
        writeln!(section, "| {} | {} | {} |", figure.what, figure.wanted, figure.measured)
            .expect("a string can be written to");
    }
    std::fs::write(path, section).with_context(|| format!("cannot write `{}`", path.display()))
}

/// The middle one of some numbers.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_written_anew_and_what_stands_before_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("B.md");
        std::fs::write(&path, "# A\n\nbefore\n\n## Serving\n\nold\n").unwrap();
        let figure = Figure { what: "w", wanted: "1", measured: "2".into() };
        write(&path, "new", &[figure]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "# A\n\nbefore\n\n## Serving\n\nnew\n\n| | wanted | measured |\n|---|---|---|\n| w | 1 | 2 |\n"
        );
    }
}
