//! Recorded data: CSV and raw matrices in, events or values with file, line and column out.
//!
//! [`Recording::open`] recognises the layout of a CSV file, plain or packed, from its first rows: the encoding, the separator,
//! the decimal mark, and what stands before the values. Workbooks, Parquet files and tables of tags become CSV first. Columns for time, sequence, station and label are known by their names and
//! by what they hold; all others that have a name can be features. A [`Profile`] says what is not recognised as it is meant.
//! [`Recording::events`] then gives the rows as events of a schema, each with its line, or with every fault of the row and the
//! column it is in.
//!
//! [`ValueRows`] gives the values alone, in one pass, and a [`Matrix`] has nothing else.
//!
//! Data that a file lacks is made up, always in the same way: a time a second after the row
//! before, a sequence number from the order of rows, a station of the file's name.
//!
//! ```
//! use recording::{Profile, Recording};
//! use sensor::{Feature, FeatureSchema};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("pump.csv");
//! # std::fs::write(&path, "datetime;Pressure;anomaly\n2026-01-02 03:04:05;1,5;0\n2026-01-02 03:04:06;high;1\n")?;
//! let recording = Recording::open(&path, &Profile::default())?;
//! assert_eq!(recording.feature_columns(), ["Pressure"]);
//!
//! let schema = FeatureSchema::new(vec![Feature::named("Pressure")])?;
//! let rows: Vec<_> = recording.events(&schema)?.collect::<Result<_, _>>()?;
//! assert_eq!(rows[0].as_ref().unwrap().event.values(), [1.5]);
//! assert!(rows[1].as_ref().unwrap_err().to_string().ends_with("pump.csv:3: column 2 (Pressure) is not a number"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It judges no value. Whether one may be missing, and what is possible, the
//! schema says.

mod clock;
mod columns;
mod error;
mod file;
mod interval;
mod labels;
mod layout;
mod long;
mod matrix;
mod number;
mod profile;
mod row;
mod rows;
mod stations;
mod survey;
mod tables;
mod text;
mod time;
mod values;
mod zstd;

pub use columns::Role;
pub use error::{BadRow, CellFault, CellFaultKind, OpenError, ReadError};
pub use file::Recording;
pub use interval::Interval;
pub use labels::Labels;
pub use matrix::{Element, Matrix};
pub use number::DecimalMark;
pub use profile::{Missing, Profile, ProfileArgs};
pub use row::{Events, RecordedEvent};
pub use survey::{Column, Numbers, Survey};
pub use time::{DateOrder, TimeFormat, TimeTrouble};
pub use values::ValueRows;
