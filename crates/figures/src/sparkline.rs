//! The course of a column in one line of text height.

use std::fmt::Write as _;

use crate::svg::escaped;

/// The course of something, without axes: its lowest and highest values from left to right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sparkline<'a> {
    /// The title, which describes it in words.
    pub title: &'a str,
    /// The lowest and the highest value at each place; `None` where there is none.
    pub course: &'a [Option<[f64; 2]>],
}

const HEIGHT: f64 = 20.0;
/// Room for half of a line above and below.
const EDGE: f64 = 1.0;

impl Sparkline<'_> {
    /// Draws it; places without a value are gaps.
    pub fn svg(&self) -> String {
        let present = || self.course.iter().flatten();
        let lowest = present().map(|[low, _]| *low).fold(f64::INFINITY, f64::min);
        let highest = present().map(|[_, high]| *high).fold(f64::NEG_INFINITY, f64::max);
        let range = highest - lowest;
        let y = |value: f64| {
            let share = if range > 0.0 { (value - lowest) / range } else { 0.5 };
            HEIGHT - EDGE - share * (HEIGHT - 2.0 * EDGE)
        };
        let mut text = format!(
            "<svg class=\"sparkline\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            self.course.len(),
            escaped(self.title)
        );
        let mut x = 0;
        for alike in self.course.chunk_by(|a, b| a.is_some() == b.is_some()) {
            let xs = (x..).map(|place| f64::from(place) + 0.5);
            let points: Vec<(f64, [f64; 2])> =
                xs.zip(alike).filter_map(|(x, point)| Some((x, (*point)?))).collect();
            let there = points.iter().map(|&(x, [_, high])| (x, y(high)));
            let back = points.iter().rev().map(|&(x, [low, _])| (x, y(low)));
            for (index, (x, y)) in there.chain(back).enumerate() {
                let command = if index == 0 { "<path d=\"M" } else { "L" };
                write!(text, "{command}{x:.1} {y:.1}").expect("a string takes everything");
            }
            if !points.is_empty() {
                text.push_str("Z\"/>");
            }
            x += u32::try_from(alike.len()).unwrap_or(u32::MAX);
        }
        text.push_str("</svg>");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_has_gaps_where_there_is_nothing() {
        let course = [Some([1.0, 3.0]), Some([2.0, 2.0]), None, Some([5.0, 5.0])];
        let svg = Sparkline { title: "a < b", course: &course }.svg();
        assert_eq!(svg.matches("<path").count(), 2);
        assert!(svg.contains("d=\"M0.5 10.0L1.5 14.5L1.5 14.5L0.5 19.0Z\""), "{svg}");
        assert!(svg.contains("d=\"M3.5 1.0L3.5 1.0Z\""), "{svg}");
        assert!(svg.contains("aria-label=\"a &lt; b\""), "{svg}");
    }

    #[test]
    fn what_is_constant_or_missing_can_be_drawn() {
        let svg = Sparkline { title: "", course: &[Some([7.0, 7.0]); 2] }.svg();
        assert!(svg.contains("M0.5 10.0L1.5 10.0"), "{svg}");
        assert_eq!(Sparkline { title: "", course: &[None] }.svg().matches("<path").count(), 0);
    }
}
