//! Histograms.

use crate::svg::{Drawing, Scale, Tick};
use wording::{percent, rounded};

/// The distribution of numbers, compared with another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    /// The width in the pixels of its text; the page may stretch it.
    pub width: f64,
    /// The title, which describes it in words.
    pub title: &'a str,
    /// The quantity, for its axis.
    pub unit: &'a str,
    /// The beginnings of the bins, ascending, and the end of the last one.
    pub edges: &'a [f64],
    /// Share of each bin: filled bars.
    pub shares: &'a [f64],
    /// Shares of others, drawn as an outline.
    pub compared: Option<Compared<'a>>,
    /// Numbers that are marked, and their names.
    pub marks: &'a [(f64, &'a str)],
}

/// Shares of others in the same bins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared<'a> {
    /// The meaning of the bars.
    pub bars: &'a str,
    /// The meaning of the outline.
    pub outline: &'a str,
    /// Share of each bin of the outline.
    pub shares: &'a [f64],
}

const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

impl Histogram<'_> {
    /// Draws it.
    ///
    /// # Panics
    ///
    /// Panics when there is not one share for each bin.
    pub fn svg(&self) -> String {
        let outline = self.compared.map_or(&[][..], |compared| compared.shares);
        assert_eq!(self.edges.len(), self.shares.len() + 1, "a bin lies between two edges");
        assert!(outline.is_empty() || outline.len() == self.shares.len(), "the same bins");
        let (first, last) = (self.edges[0], self.edges[self.edges.len() - 1]);
        let highest = self.shares.iter().chain(outline).fold(0.0_f64, |a, b| a.max(*b));
        let x = Scale::new(first, last, (LEFT, self.width - RIGHT));
        let y = Scale::new(0.0, f64::max(highest, 1e-9), (HEIGHT - BOTTOM, TOP));

        let mut drawing = Drawing::new(self.width, HEIGHT, self.title);
        self.draw_axes(&mut drawing, x, y);
        for (bin, share) in self.edges.windows(2).zip(self.shares) {
            let (left, right, top) = (x.place(bin[0]), x.place(bin[1]), y.place(*share));
            drawing.add(format_args!(
                "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} to {}: {}</title></rect>",
                f64::max(right - left - 1.0, 0.5),
                HEIGHT - BOTTOM - top,
                rounded(bin[0], 4),
                rounded(bin[1], 4),
                percent(*share),
            ));
        }
        if let Some(compared) = &self.compared {
            let steps = self.edges.windows(2).zip(compared.shares);
            let steps =
                steps.map(|(bin, share)| (x.place(bin[0]), x.place(bin[1]), y.place(*share)));
            drawing
                .path("outline", steps.flat_map(|(left, right, top)| [(left, top), (right, top)]));
            legend(&mut drawing, compared);
        }
        for (number, name) in self.marks {
            let place = x.place(*number).clamp(LEFT, self.width - RIGHT);
            drawing.line("mark", (place, TOP - 4.0), (place, HEIGHT - BOTTOM));
            let is_right = place > self.width * 0.75;
            let (class, x) =
                if is_right { ("note end", place - 5.0) } else { ("note", place + 5.0) };
            drawing.write(x, TOP + 8.0, class, name);
        }
        drawing.end()
    }

    /// Lines and labels of shares on the left and of numbers below.
    fn draw_axes(&self, drawing: &mut Drawing, x: Scale, y: Scale) {
        let right = self.width - RIGHT;
        for Tick { value, .. } in y.ticks(3) {
            drawing.line("grid", (LEFT, y.place(value)), (right, y.place(value)));
            drawing.write(LEFT - 6.0, y.place(value) + 4.0, "tick end", &percent(value));
        }
        for Tick { value, text } in x.ticks(if self.width < 500.0 { 4 } else { 7 }) {
            drawing.write(x.place(value), HEIGHT - BOTTOM + 16.0, "tick middle", &text);
        }
        drawing.line("axis", (LEFT, HEIGHT - BOTTOM), (right, HEIGHT - BOTTOM));
        drawing.write(f64::midpoint(LEFT, right), HEIGHT - 6.0, "unit middle", self.unit);
    }
}

fn legend(drawing: &mut Drawing, compared: &Compared<'_>) {
    drawing
        .add(format_args!("<rect class=\"bar\" x=\"{LEFT}\" y=\"8\" width=\"14\" height=\"10\"/>"));
    drawing.write(LEFT + 20.0, 17.0, "note", compared.bars);
    let x = LEFT + 40.0 + 7.0 * compared.bars.chars().count() as f64;
    drawing.line("outline", (x, 13.0), (x + 14.0, 13.0));
    drawing.write(x + 20.0, 17.0, "note", compared.outline);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_shares() {
        let histogram = Histogram {
            width: 640.0,
            title: "t",
            unit: "u",
            edges: &[0.0, 1.0, 2.0],
            shares: &[0.25, 0.5],
            compared: Some(Compared { bars: "now", outline: "then", shares: &[0.5, 0.5] }),
            marks: &[(1.5, "threshold")],
        };
        let svg = histogram.svg();
        let heights: Vec<&str> = svg
            .split("<rect class=\"bar\"")
            .skip(1)
            .filter_map(|bar| bar.split("height=\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(heights, ["75.0", "150.0", "10"], "the last is that of the legend");
        assert!(svg.contains("<title>0 to 1: 25 %</title>") && svg.contains(">threshold</text>"));
    }
}
