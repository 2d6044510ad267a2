//! Signed numbers as bars to both sides.

use std::borrow::Cow;

use crate::svg::Drawing;
use wording::rounded;

/// Signed numbers as bars to both sides of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bars<'a> {
    /// The title, which describes it in words.
    pub title: &'a str,
    /// The meanings of bars to the left and to the right.
    pub sides: (&'a str, &'a str),
    /// The bars from top to bottom.
    pub bars: &'a [Bar],
}

/// A signed number and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// The label.
    pub name: String,
    /// Its size, to the right where positive.
    pub size: f64,
}

const WIDTH: f64 = 640.0;
const ROW: f64 = 28.0;
const TOP: f64 = 24.0;
const NAME_WIDTH: f64 = 170.0;
/// Characters that fit into it.
const NAME_LEN_MAX: usize = 24;
/// Room for the number at the end of the longest bar.
const NUMBER_WIDTH: f64 = 56.0;

impl Bars<'_> {
    /// Draws them.
    pub fn svg(&self) -> String {
        let height = TOP + ROW * self.bars.len() as f64 + 4.0;
        let mut drawing = Drawing::new(WIDTH, height, self.title);
        let largest = self.bars.iter().fold(1e-9_f64, |a, bar| a.max(bar.size.abs()));
        let has_left = self.bars.iter().any(|bar| bar.size < 0.0);
        let left = NAME_WIDTH + NUMBER_WIDTH;
        let right = WIDTH - NUMBER_WIDTH;
        let zero = if has_left { f64::midpoint(left, right) } else { left };
        let reach = right - zero;
        if has_left {
            drawing.write(zero - 8.0, 15.0, "note end", &format!("\u{2190} {}", self.sides.0));
        }
        drawing.write(zero + 8.0, 15.0, "note", &format!("{} \u{2192}", self.sides.1));
        for (index, bar) in self.bars.iter().enumerate() {
            let top = TOP + ROW * index as f64;
            let width = bar.size.abs() / largest * reach;
            let (class, x) =
                if bar.size < 0.0 { ("bar usual", zero - width) } else { ("bar unusual", zero) };
            drawing.write(NAME_WIDTH - 8.0, top + 18.0, "label end", &shortened(&bar.name));
            drawing.add(format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\"/>",
                top + 4.0,
                ROW - 8.0
            ));
            let number = format!(
                "{}{}",
                if bar.size < 0.0 { "\u{2212}" } else { "+" },
                rounded(bar.size.abs(), 3)
            );
            let (class, x) =
                if bar.size < 0.0 { ("tick end", x - 5.0) } else { ("tick", x + width + 5.0) };
            drawing.write(x, top + 18.0, class, &number);
        }
        drawing.line("axis", (zero, TOP), (zero, height - 4.0));
        drawing.end()
    }
}

/// Returns a name that fits beside its bar; the page has it whole.
fn shortened(name: &str) -> Cow<'_, str> {
    if name.chars().nth(NAME_LEN_MAX).is_none() {
        return Cow::Borrowed(name);
    }
    let begin: String = name.chars().take(NAME_LEN_MAX - 1).collect();
    Cow::Owned(format!("{begin}\u{2026}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_point_to_their_side() {
        let bar = |name: &str, size: f64| Bar { name: name.into(), size };
        let long = "the vibration of the press beside the door in mm/s";
        let bars = [bar("sound", 0.5), bar("<heat>", -0.25), bar(long, 0.1)];
        let svg = Bars { title: "t", sides: ("usual", "unusual"), bars: &bars }.svg();
        assert!(svg.contains("class=\"bar unusual\"") && svg.contains("class=\"bar usual\""));
        assert!(
            svg.contains("+0.5") && svg.contains("\u{2212}0.25") && svg.contains("&lt;heat&gt;")
        );
        assert!(svg.contains(">the vibration of the pr\u{2026}<"), "{svg}");
    }
}
