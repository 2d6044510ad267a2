//! One share against another.

use crate::square::{self, SIZE};
use crate::svg::Drawing;

/// A line through pairs of shares, from 0 to 1 in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve<'a> {
    /// The title, which describes it in words.
    pub title: &'a str,
    /// The quantity to the right.
    pub x_unit: &'a str,
    /// The quantity upwards.
    pub y_unit: &'a str,
    /// The pairs in their order.
    pub points: &'a [(f64, f64)],
    /// A line to compare with, from the left to the right end, such as that of chance.
    pub compared: (f64, f64),
    /// A pair that stands out, such as that of a threshold.
    pub marked: Option<(f64, f64)>,
}

impl Curve<'_> {
    /// Draws it.
    pub fn svg(&self) -> String {
        let mut drawing = Drawing::new(SIZE, SIZE, self.title);
        let (x, y) = square::scales((0.0, 1.0), (0.0, 1.0));
        square::axes(&mut drawing, (x, y), (self.x_unit, self.y_unit));
        let place = |&(a, b): &(f64, f64)| (x.place(a), y.place(b));
        let (left, right) = self.compared;
        drawing.line("axis", place(&(0.0, left)), place(&(1.0, right)));
        drawing.path("curve", self.points.iter().map(place));
        if let Some(marked) = &self.marked {
            let (x, y) = place(marked);
            drawing.add(format_args!(
                "<path class=\"cross\" d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\"/>",
                x - 4.0,
                y - 4.0
            ));
        }
        drawing.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_reaches_from_corner_to_corner() {
        let curve = Curve {
            title: "ROC",
            x_unit: "false alarms",
            y_unit: "found",
            points: &[(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)],
            compared: (0.0, 1.0),
            marked: Some((0.5, 1.0)),
        };
        let svg = curve.svg();
        assert!(svg.contains("class=\"curve\" d=\"M52.0 256.0L52.0 10.0L290.0 10.0\""), "{svg}");
        assert!(
            svg.contains("<line class=\"axis\" x1=\"52.0\" y1=\"256.0\" x2=\"290.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches("class=\"cross\"").count(), 1);
    }
}
