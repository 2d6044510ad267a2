//! The frame of figures of one quantity against another.

use crate::svg::{Drawing, Scale, Tick, escaped};

/// The width and the height.
pub(crate) const SIZE: f64 = 300.0;
const LEFT: f64 = 48.0;
const BOTTOM: f64 = 40.0;
const MARGIN: f64 = 10.0;
/// Room between the frame and what is drawn in it.
const INSET: f64 = 4.0;

/// Returns the scales to the right and upwards.
pub(crate) fn scales((x_from, x_to): (f64, f64), (y_from, y_to): (f64, f64)) -> (Scale, Scale) {
    let x = Scale::new(x_from, x_to, (LEFT + INSET, SIZE - MARGIN));
    let y = Scale::new(y_from, y_to, (SIZE - BOTTOM - INSET, MARGIN));
    (x, y)
}

/// Draws grid, ticks, and the names of both quantities.
pub(crate) fn axes(drawing: &mut Drawing, (x, y): (Scale, Scale), (x_unit, y_unit): (&str, &str)) {
    for Tick { value, text } in y.ticks(4) {
        drawing.line("grid", (LEFT, y.place(value)), (SIZE - MARGIN, y.place(value)));
        drawing.write(LEFT - 5.0, y.place(value) + 4.0, "tick end", &text);
    }
    for Tick { value, text } in x.ticks(4) {
        drawing.line("grid", (x.place(value), MARGIN), (x.place(value), SIZE - BOTTOM));
        drawing.write(x.place(value), SIZE - BOTTOM + 16.0, "tick middle", &text);
    }
    drawing.write(f64::midpoint(LEFT, SIZE), SIZE - 8.0, "unit middle", x_unit);
    let y_unit = escaped(y_unit);
    let middle = (SIZE - BOTTOM) / 2.0;
    drawing.add(format_args!(
        "<text class=\"unit middle\" transform=\"translate(11 {middle}) rotate(-90)\">{y_unit}</text>"
    ));
}
