//! The elements of all figures: escaped text, scales and ticks.

use std::fmt::{self, Write as _};

/// Escapes text for use between tags and within quotes.
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

    /// Adds elements; the caller escapes their contents.
    pub(crate) fn add(&mut self, elements: fmt::Arguments<'_>) {
        self.text.write_fmt(elements).expect("a string takes everything");
    }

    /// Writes a line of text; `class` may say where it is anchored.
    pub(crate) fn write(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escaped(text);
        self.add(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"));
    }

    /// Draws a straight line.
    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// Draws a line through the points that can be drawn, if there are any.
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

/// A map from numbers to places in a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    from: f64,
    to: f64,
    /// The places of `from` and `to`.
    ends: (f64, f64),
}

impl Scale {
    /// Returns a scale from one number to another; a single number gets some room around it.
    pub(crate) fn new(from: f64, to: f64, ends: (f64, f64)) -> Self {
        if from < to {
            return Self { from, to, ends };
        }
        let room = if from == 0.0 { 1.0 } else { from.abs() * 0.05 };
        let [from, to] = [from - room, from + room].map(|end| end.clamp(-f64::MAX, f64::MAX));
        Self { from, to, ends }
    }

    /// Returns the place of a number.
    pub(crate) fn place(&self, number: f64) -> f64 {
        let (first, last) = self.ends;
        // Not by the difference of the ends, which may be too large to be a number.
        let share = (number / 2.0 - self.from / 2.0) / (self.to / 2.0 - self.from / 2.0);
        first + share * (last - first)
    }

    /// Returns about `n` round numbers to write beside the scale.
    pub(crate) fn ticks(&self, n: u32) -> Vec<Tick> {
        let rough = (self.to - self.from) / f64::from(n);
        let power = 10_f64.powf(rough.log10().floor());
        if !power.is_finite() || power == 0.0 {
            return Vec::new();
        }
        let step = [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power);
        let step = step.clone().find(|step| *step >= rough * 0.7).unwrap_or(10.0 * power);
        let first = (self.from / step).ceil();
        let ticks = (0..=2 * n).map(|index| (first + f64::from(index)) * step);
        let ticks = ticks.take_while(|tick| *tick <= self.to + step * 1e-9);
        ticks.map(|value| Tick { value, text: tick_text(value, step) }).collect()
    }
}

/// A number beside a scale.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    /// With as many places as tell it from the next.
    pub(crate) text: String,
}

/// Returns a multiple of a step, in powers of ten where zeros would fill the margin and a few places say all.
fn tick_text(value: f64, step: f64) -> String {
    const PLACES_MAX: f64 = 9.0;
    const FEW_PLACES: f64 = 4.0;
    let power = step.log10().floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 9")]
    let places = |wanted: f64| wanted.clamp(0.0, PLACES_MAX) as usize;
    if value.abs() < step / 2.0 {
        return String::from("0");
    }
    let is_short = value.abs() < 1e6 && power >= -FEW_PLACES;
    let n_digits = value.abs().log10().floor() - power;
    if is_short || n_digits > FEW_PLACES {
        return format!("{value:.*}", places(-power));
    }
    format!("{value:.*e}", places(n_digits))
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
        let ticks = |from, to| {
            let ticks = Scale::new(from, to, (0.0, 1.0)).ticks(5);
            ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>()
        };
        assert_eq!(ticks(0.0, 10.0), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(ticks(64.43, 75.1), ["66", "68", "70", "72", "74"]);
        assert_eq!(ticks(-1.0, 1.0), ["-1.0", "-0.5", "0", "0.5", "1.0"]);
        assert_eq!(ticks(0.0, 5e-9), ["0", "1e-9", "2e-9", "3e-9", "4e-9", "5e-9"]);
        assert_eq!(ticks(5.0, 5.000_05)[1..3], ["5.00002", "5.00003"]);
        assert_eq!(ticks(1_013_200.0, 1_013_280.0)[..2], ["1013200", "1013220"]);
        assert_eq!(ticks(0.0, 1.2e7), ["0", "2e6", "4e6", "6e6", "8e6", "1.0e7", "1.2e7"]);
        assert!(ticks(5.0, 5.0).len() > 2, "a single number has some room");
        assert!(ticks(f64::MIN, f64::MAX).len() < 20);
        assert!(Scale::new(f64::MIN, f64::MAX, (0.0, 100.0)).place(0.0) == 50.0);
    }
}
