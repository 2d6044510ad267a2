//! Several quantities over one time.

use chrono::DateTime;

use crate::svg::{Drawing, Scale, Tick};

/// Several quantities over one time, one below the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panels<'a> {
    /// The title, which describes it in words.
    pub title: &'a str,
    /// When it begins, in microseconds since 1970.
    pub since_us: i64,
    /// When it ends.
    pub until_us: i64,
    /// The quantities from top to bottom.
    pub panels: &'a [Panel],
    /// Moments that get a line through all panels.
    pub marks: &'a [Mark],
}

/// A moment at which something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// The label.
    pub text: String,
}

/// A quantity over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The name, with its unit.
    pub name: String,
    /// The values in order of time; `None` interrupts the line.
    pub points: Vec<Option<Point>>,
    /// From where to where it is usual.
    pub band: Option<(f64, f64)>,
    /// The thresholds that it should not pass, each over its own time.
    pub thresholds: Vec<Threshold>,
    /// The values that stand out.
    pub markers: Vec<Marker>,
}

/// A threshold over a part of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// When it begins to apply, in microseconds since 1970.
    pub since_us: i64,
    /// When it ends.
    pub until_us: i64,
    /// The threshold.
    pub value: f64,
}

/// The lowest and the highest value of a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

/// A value that stands out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marker {
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// The value.
    pub value: f64,
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const PANEL: f64 = 120.0;
const GAP: f64 = 26.0;
const BOTTOM: f64 = 24.0;

impl Panels<'_> {
    /// Draws them.
    pub fn svg(&self) -> String {
        let height = (PANEL + GAP) * self.panels.len() as f64 + BOTTOM;
        let mut drawing = Drawing::new(WIDTH, height, self.title);
        let x = Scale::new(0.0, self.seconds(self.until_us), (LEFT, WIDTH - RIGHT));
        for (index, panel) in self.panels.iter().enumerate() {
            let top = GAP + (PANEL + GAP) * index as f64;
            self.draw(&mut drawing, panel, (x, top));
        }
        for (place, text) in self.time_ticks(x) {
            drawing.line("grid", (place, GAP), (place, height - BOTTOM));
            drawing.write(place, height - 6.0, "tick middle", &text);
        }
        for mark in self.marks {
            let place = x.place(self.seconds(mark.time_us));
            drawing.line("change", (place, GAP), (place, height - BOTTOM));
            // Beside its line, on the side that has room.
            let is_late = place > f64::midpoint(LEFT, WIDTH);
            let (beside, class) = if is_late { (-4.0, "note end") } else { (4.0, "note") };
            drawing.write(place + beside, GAP + 12.0, class, &mark.text);
        }
        drawing.end()
    }

    fn seconds(&self, time_us: i64) -> f64 {
        (time_us - self.since_us) as f64 / 1e6
    }

    fn draw(&self, drawing: &mut Drawing, panel: &Panel, (x, top): (Scale, f64)) {
        let bottom = top + PANEL;
        let bounds = panel
            .points
            .iter()
            .flatten()
            .flat_map(|point| [point.min, point.max])
            .chain(panel.band.into_iter().flat_map(|(low, high)| [low, high]))
            .chain(panel.thresholds.iter().map(|threshold| threshold.value))
            .filter(|value| value.is_finite());
        let (low, high) =
            bounds.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        drawing.write(LEFT, top - 8.0, "label", &panel.name);
        if low > high {
            drawing.write(LEFT + 8.0, top + PANEL / 2.0, "note", "no values");
            return;
        }
        // Not by the difference of the ends, which may be too large to be a number.
        let room = high * 0.06 - low * 0.06;
        let [low, high] = [low - room, high + room].map(|end| end.clamp(-f64::MAX, f64::MAX));
        let y = Scale::new(low, high, (bottom, top));
        let place = |time_us: i64, value: f64| (x.place(self.seconds(time_us)), y.place(value));
        if let Some((low, high)) = panel.band {
            let (high, low) = (y.place(high), y.place(low));
            let (width, height) = (WIDTH - LEFT - RIGHT, low - high);
            drawing.add(format_args!(
                "<rect class=\"band\" x=\"{LEFT}\" y=\"{high:.1}\" width=\"{width}\" height=\"{height:.1}\"/>"
            ));
        }
        for Tick { value, text } in y.ticks(3) {
            drawing.line("grid", (LEFT, y.place(value)), (WIDTH - RIGHT, y.place(value)));
            drawing.write(LEFT - 6.0, y.place(value) + 4.0, "tick end", &text);
        }
        for threshold in &panel.thresholds {
            let [from, to] = [threshold.since_us, threshold.until_us]
                .map(|time_us| place(time_us, threshold.value));
            drawing.line("mark", from, to);
        }
        if let Some(last) = panel.thresholds.last() {
            let (x, y) = place(last.until_us, last.value);
            drawing.write(x - 4.0, y - 4.0, "note end", "threshold");
        }
        for run in panel.points.split(Option::is_none) {
            let ends = |point: &Point| [point.min, point.max].map(|end| place(point.time_us, end));
            drawing.path("curve", run.iter().flatten().flat_map(ends));
        }
        for marker in &panel.markers {
            let (x, y) = place(marker.time_us, marker.value);
            drawing.add(format_args!(
                "<path class=\"cross\" d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\"/>",
                x - 4.0,
                y - 4.0
            ));
        }
    }

    /// Returns round times and their labels, which have the date where a step is longer than a day.
    fn time_ticks(&self, x: Scale) -> Vec<(f64, String)> {
        const STEPS_S: [i64; 19] = [
            1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
            86_400, 604_800, 2_592_000, 31_536_000,
        ];
        const N_TICKS: f64 = 8.0;
        let rough = self.seconds(self.until_us) / N_TICKS;
        let step_s = STEPS_S.into_iter().find(|step| *step as f64 >= rough);
        let step_us = step_s.unwrap_or(STEPS_S[STEPS_S.len() - 1] * 10) * 1_000_000;
        let has_years = self.seconds(self.until_us) > 300.0 * 86_400.0;
        let first_us = self.since_us.div_euclid(step_us) * step_us;
        let ticks = (0..40).map(|index| first_us + index * step_us);
        let shown = ticks.filter(|tick| (self.since_us..=self.until_us).contains(tick));
        let place = |tick_us| x.place(self.seconds(tick_us));
        shown.map(|tick_us| (place(tick_us), time_text(tick_us, step_us, has_years))).collect()
    }
}

/// Returns a time as hours and minutes, with seconds or as a date where steps are so small or so large, and
/// with its year where several may be shown.
fn time_text(time_us: i64, step_us: i64, has_years: bool) -> String {
    let format = match step_us / 1_000_000 {
        ..60 => "%H:%M:%S",
        60..86_400 => "%H:%M",
        _ if has_years => "%Y-%m-%d",
        _ => "%m-%d",
    };
    let time = DateTime::from_timestamp_micros(time_us);
    time.map_or(String::new(), |time| time.format(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail with the difference of the ends: it is no number.
    #[test]
    fn the_largest_numbers_have_a_place() {
        let point = |second: i64, value| {
            Some(Point { time_us: second * 1_000_000, min: value, max: value })
        };
        for most in [1.7e308, f64::MAX] {
            let panel = Panel {
                name: String::from("heat"),
                points: vec![point(0, -most), point(1, most)],
                band: Some((-most, most)),
                thresholds: Vec::new(),
                markers: vec![Marker { time_us: 1_000_000, value: most }],
            };
            let panels = [panel];
            let drawn = Panels {
                title: "all",
                since_us: 0,
                until_us: 2_000_000,
                panels: &panels,
                marks: &[],
            };
            let svg = drawn.svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn a_missing_value_interrupts_the_line() {
        let point = |second: i64, value| {
            Some(Point { time_us: second * 1_000_000, min: value, max: value })
        };
        let panel = Panel {
            name: String::from("heat"),
            points: vec![point(0, 1.0), point(1, 2.0), None, point(3, 1.0)],
            band: Some((0.5, 1.5)),
            thresholds: vec![
                Threshold { since_us: 0, until_us: 2_000_000, value: 1.9 },
                Threshold { since_us: 2_000_000, until_us: 4_000_000, value: 1.7 },
            ],
            markers: vec![Marker { time_us: 1_000_000, value: 2.0 }],
        };
        let empty = Panel {
            points: Vec::new(),
            band: None,
            thresholds: Vec::new(),
            markers: Vec::new(),
            ..panel.clone()
        };
        let panels = [panel, empty];
        let marks = [Mark { time_us: 2_000_000, text: String::from("another model") }];
        let (since_us, until_us) = (0, 4_000_000);
        let drawn = Panels { title: "t", since_us, until_us, panels: &panels, marks: &marks }.svg();
        assert_eq!(drawn.matches("class=\"mark\"").count(), 2);
        assert_eq!(drawn.matches("class=\"change\"").count(), 1);
        assert!(drawn.contains(">another model<"), "{drawn}");
        assert_eq!(drawn.matches("class=\"curve\"").count(), 2);
        assert_eq!(drawn.matches("class=\"cross\"").count(), 1);
        assert!(drawn.contains("no values") && drawn.contains(">00:00:03<"), "{drawn}");
    }

    #[test]
    fn times_are_written_as_coarse_as_their_steps() {
        // 2024-02-29T23:59:58Z.
        let time_us = 1_709_251_198_000_000;
        assert_eq!(time_text(time_us, 1_000_000, false), "23:59:58");
        assert_eq!(time_text(time_us, 60_000_000, false), "23:59");
        assert_eq!(time_text(time_us, 86_400_000_000, false), "02-29");
        assert_eq!(time_text(time_us, 86_400_000_000, true), "2024-02-29");
        assert_eq!(time_text(i64::MAX, 1, true), "");
    }
}
