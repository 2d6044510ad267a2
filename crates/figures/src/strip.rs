//! A row of cells: how something went over time, at a glance.

use std::fmt::Write as _;

use crate::svg::escaped;

/// A row of cells of one width: how something went over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strip<'a> {
    /// The title, which describes it in words.
    pub title: &'a str,
    /// The cells from left to right.
    pub cells: &'a [Level],
}

/// The level of a cell, shown by its height as well as by its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// There is nothing to show.
    #[default]
    Nothing,
    /// As usual.
    Usual,
    /// More than usual.
    Raised,
    /// Nearly too much.
    High,
    /// Too much, but only for once.
    Alarm,
    /// Too much, and not for once.
    Alarming,
}

const HEIGHT: u32 = 20;

impl Level {
    fn height(self) -> u32 {
        match self {
            Self::Nothing => 1,
            Self::Usual => 5,
            Self::Raised => 9,
            Self::High => 13,
            Self::Alarm => 17,
            Self::Alarming => HEIGHT,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Usual => "usual",
            Self::Raised => "raised",
            Self::High => "high",
            Self::Alarm => "alarm",
            Self::Alarming => "alarming",
        }
    }
}

impl Strip<'_> {
    /// Draws it; neighbours that are alike become one.
    pub fn svg(&self) -> String {
        let mut text = format!(
            "<svg class=\"strip\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            self.cells.len(),
            escaped(self.title)
        );
        let mut x = 0;
        for alike in self.cells.chunk_by(|a, b| a == b) {
            let (level, height) = (alike[0], alike[0].height());
            write!(
                text,
                "<rect class=\"{}\" x=\"{x}\" y=\"{}\" width=\"{}\" height=\"{height}\"/>",
                level.class(),
                HEIGHT - height,
                alike.len()
            )
            .expect("a string takes everything");
            x += alike.len();
        }
        text.push_str("</svg>");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_are_alike_become_one() {
        let mut cells = vec![Level::Usual; 100];
        cells[40] = Level::Alarming;
        let svg = Strip { title: "a < b", cells: &cells }.svg();
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("x=\"40\" y=\"0\" width=\"1\" height=\"20\"/>"), "{svg}");
        assert!(svg.contains("x=\"41\" y=\"15\" width=\"59\""), "{svg}");
        assert!(svg.contains("aria-label=\"a &lt; b\""), "{svg}");
    }
}
