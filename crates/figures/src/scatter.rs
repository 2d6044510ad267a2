//! Pairs of numbers as dots.

use crate::square::{self, SIZE};
use crate::svg::Drawing;

/// Pairs of numbers, those that stand out in another form and colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scatter<'a> {
    /// The title, which describes it in words.
    pub title: &'a str,
    /// The quantity to the right.
    pub x_unit: &'a str,
    /// The quantity upwards.
    pub y_unit: &'a str,
    /// The pairs.
    pub dots: &'a [Dot],
}

/// A pair of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dot {
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// The emphasis, from 0 to 1, shown by its shade.
    pub weight: f64,
    /// `true` if it is marked with a form of its own.
    pub is_marked: bool,
}

/// Shades of dots that are not marked.
const N_SHADES: f64 = 4.0;

impl Scatter<'_> {
    /// Draws it; pairs without two finite numbers are left out.
    pub fn svg(&self) -> String {
        let mut dots: Vec<&Dot> =
            self.dots.iter().filter(|dot| dot.x.is_finite() && dot.y.is_finite()).collect();
        // What stands out lies on top.
        dots.sort_by(|a, b| {
            (a.is_marked, a.weight)
                .partial_cmp(&(b.is_marked, b.weight))
                .unwrap_or(a.x.total_cmp(&b.x))
        });
        let extent = |value: fn(&Dot) -> f64| {
            dots.iter()
                .map(|dot| value(dot))
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let mut drawing = Drawing::new(SIZE, SIZE, self.title);
        if dots.is_empty() {
            drawing.write(SIZE / 2.0, SIZE / 2.0, "note middle", "no values");
            return drawing.end();
        }
        let (x, y) = square::scales(extent(|dot| dot.x), extent(|dot| dot.y));
        square::axes(&mut drawing, (x, y), (self.x_unit, self.y_unit));
        for dot in dots {
            let (x, y) = (x.place(dot.x), y.place(dot.y));
            if dot.is_marked {
                drawing.add(format_args!(
                    "<path class=\"cross\" d=\"M{:.1} {:.1}l6 6m0 -6l-6 6\"/>",
                    x - 3.0,
                    y - 3.0
                ));
            } else {
                let shade = (dot.weight.clamp(0.0, 0.999) * N_SHADES).floor();
                drawing.add(format_args!(
                    "<circle class=\"dot s{shade:.0}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\"/>"
                ));
            }
        }
        drawing.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emphasised_dots_have_their_own_form_and_lie_on_top() {
        let dot = |x: f64, weight, is_marked| Dot { x, y: 1.0, weight, is_marked };
        let dots = [dot(0.0, 1.0, true), dot(1.0, 0.9, false), dot(f64::NAN, 0.0, false)];
        let scatter = Scatter { title: "t", x_unit: "x", y_unit: "y", dots: &dots };
        let svg = scatter.svg();
        assert_eq!(
            (svg.matches("<circle").count(), svg.matches("class=\"cross\"").count()),
            (1, 1)
        );
        assert!(svg.find("<circle") < svg.find("class=\"cross\""));
        assert!(Scatter { dots: &[], ..scatter }.svg().contains("no values"));
    }
}
