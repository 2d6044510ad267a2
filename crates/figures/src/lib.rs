//! Figures as plain SVG, and reports as one HTML file.
//!
//! [`Bins`] count. A [`Histogram`], a [`Scatter`], a [`Curve`], [`Panels`] over
//! time, a [`Sparkline`], a [`Strip`] and signed [`Bars`] draw themselves as SVG that needs no script, follows the
//! colours of its page through [`STYLE`], light and dark, and says in words what it shows. A
//! [`Report`] puts them into one HTML file that needs nothing else.
//!
//! ```
//! use figures::Histogram;
//!
//! let histogram = Histogram {
//!     width: 640.0,
//!     title: "Scores of the training",
//!     unit: "anomaly score",
//!     edges: &[0.3, 0.4, 0.5, 0.6],
//!     shares: &[0.7, 0.2, 0.1],
//!     compared: None,
//!     marks: &[(0.58, "threshold")],
//! };
//! assert!(histogram.svg().starts_with("<svg"));
//! ```
//!
//! It reads nothing, and knows nothing of stations or models.

mod bars;
mod bins;
mod curve;
mod histogram;
mod panels;
mod report;
mod scatter;
mod sparkline;
mod square;
mod strip;
mod svg;

pub use bars::{Bar, Bars};
pub use bins::Bins;
pub use curve::Curve;
pub use histogram::{Compared, Histogram};
pub use panels::{Mark, Marker, Panel, Panels, Point, Threshold};
pub use report::Report;
pub use scatter::{Dot, Scatter};
pub use sparkline::Sparkline;
pub use strip::{Level, Strip};
pub use svg::escaped;

/// The colours of all figures, for the page that they are on.
pub const STYLE: &str = include_str!("style.css");
