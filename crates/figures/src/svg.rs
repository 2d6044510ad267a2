//! What all pictures are made of: text that cannot break out, scales and ticks.

use std::fmt::{self, Write as _};

/// Text as it has to be written between tags and within quotes.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

/// A drawing, and what it says to those who do not see it.
#[derive(Debug)]
pub(crate) struct Drawing {
    text: String,
}

impl Drawing {
    /// Begins a drawing of this size, in units that the page stretches to its width.
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escaped(title);
        let text = format!(
            "<svg class=\"figure\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">"
        );
        Self { text }
    }

    /// Adds elements; whoever writes them escapes what is in them.
    pub(crate) fn add(&mut self, elements: fmt::Arguments<'_>) {
        self.text.write_fmt(elements).expect("a string takes everything");
    }

    /// A line of text; `class` may say where it is anchored.
    pub(crate) fn write(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escaped(text);
        self.add(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"));
    }

    /// A straight line.
    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A line through the points that can be drawn, if there are any.
    pub(crate) fn path(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut drawn = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let Some((x, y)) = drawn.next() else { return };
        self.add(format_args!("<path class=\"{class}\" d=\"M{x:.1} {y:.1}"));
        for (x, y) in drawn {
            self.add(format_args!("L{x:.1} {y:.1}"));
        }
        self.text.push_str("\"/>");
    }

    pub(crate) fn end(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }
}

/// Where numbers are in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    from: f64,
    to: f64,
    /// Where `from` and `to` are.
    ends: (f64, f64),
}

impl Scale {
    /// A scale from one number to another; a single number gets some room around it.
    pub(crate) fn new(from: f64, to: f64, ends: (f64, f64)) -> Self {
        if from < to {
            return Self { from, to, ends };
        }
        let room = if from == 0.0 { 1.0 } else { from.abs() * 0.05 };
        Self { from: from - room, to: from + room, ends }
    }

    /// The place of a number.
    pub(crate) fn place(&self, number: f64) -> f64 {
        let (first, last) = self.ends;
        // Not by the difference of the ends, which may be too large to be a number.
        let share = (number / 2.0 - self.from / 2.0) / (self.to / 2.0 - self.from / 2.0);
        first + share * (last - first)
    }

    /// Round numbers to write beside the scale: about `n`, and how many places they need.
    pub(crate) fn ticks(&self, n: u32) -> (Vec<f64>, usize) {
        let rough = (self.to - self.from) / f64::from(n);
        let power = 10_f64.powf(rough.log10().floor());
        if !power.is_finite() || power == 0.0 {
            return (Vec::new(), 0);
        }
        let step = [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power);
        let step = step.clone().find(|step| *step >= rough * 0.7).unwrap_or(10.0 * power);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 9"
        )]
        let n_places = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let first = (self.from / step).ceil();
        let ticks = (0..=2 * n).map(|index| (first + f64::from(index)) * step);
        (ticks.take_while(|tick| *tick <= self.to + step * 1e-9).collect(), n_places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_a_text() {
        let mut drawing = Drawing::new(1.0, 1.0, "\"><script>");
        drawing.write(0.0, 0.0, "label", "</svg><script>alert('x')</script>&");
        let svg = drawing.end();
        assert!(!svg.contains("<script"), "{svg}");
        assert_eq!(escaped("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&#39;");
    }

    #[test]
    fn ticks_are_round_and_within_the_scale() {
        let ticks = |from, to| Scale::new(from, to, (0.0, 1.0)).ticks(5).0;
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(64.43, 75.1), [66.0, 68.0, 70.0, 72.0, 74.0].to_vec());
        assert_eq!(ticks(-1.0, 1.0), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert!(ticks(5.0, 5.0).len() > 2, "a single number has some room");
        assert!(ticks(f64::MIN, f64::MAX).len() < 20);
        assert!(Scale::new(f64::MIN, f64::MAX, (0.0, 100.0)).place(0.0) == 50.0);
    }
}
