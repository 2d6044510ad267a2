//! The contract of stored predictions: durable when acknowledged, whatever the database.
//!
//! A [`Store`] is a handle that is cheap to clone. [`Store::keep`] hands a prediction to the one thread
//! that writes, the [`Writer`], and waits: the writer commits whatever has gathered in one transaction
//! and only then answers. An event that was stored before is answered with its earlier prediction
//! ([`Kept::Duplicate`]). Readers such as [`Store::latest_anomalies`] never wait for the writer.
//!
//! After a failure every waiting caller gets what is known: nothing was stored
//! ([`KeepError::NotStored`]), or this is unknown ([`KeepError::Unknown`]). The next batch tries again,
//! so that a disk that recovers needs no restart.
//!
//! A database implements [`Backend`] and [`Reader`], which lie below the queue: batching,
//! backpressure, health and the order of answers are written once, here. `contract` (with the feature
//! of that name) is the test suite that every backend has to pass.
//!
//! It judges nothing, knows no thresholds and no SQL.

mod backend;
mod backlog;
#[cfg(feature = "contract")]
pub mod contract;
mod entry;
mod error;
mod health;
mod limits;
mod prediction;
mod query;
mod series;
mod store;
mod sweep;
mod writer;

pub use backend::{Backend, Failure, Reader, Readers, Reading};
pub use backlog::{Held, OfClient};
pub use entry::{Entry, RowContent, RowHash};
pub use error::{KeepError, ReadError, Trouble};
pub use limits::{LIST_BYTES_MAX, QUEUE_KIB_MAX};
pub use prediction::{CommitReport, Kept, NewPrediction, Observer, StoredPrediction, Totals};
pub use query::{
    AnomalyQuery, EventKey, EventQuery, Listed, Listing, Neighbours, Station, StationQuery,
};
pub use series::{Bucket, Extent, SampleQuery, Sampled, SeriesQuery};
pub use store::Store;
pub use sweep::{Place, Sweep, Swept};
pub use writer::Writer;
