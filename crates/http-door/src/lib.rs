//! The HTTP door: connections, framing, bodies, routes and refusals.
//!
//! [`Api`] is the state that the routes share; [`routes::router`] has the routes of the API, and every
//! request passes [`guarded`]: its framing is checked, it gets a number, and it is measured.
//! [`HttpDoor`] serves a router on a socket with bounded connections. Every refusal is an
//! [`ApiError`] and leaves as one kind of document.
//!
//! The building blocks ([`Query`], [`NoQuery`], [`JsonLine`]) are public, so that other rooms can add
//! routes of their own.
//!
//! It judges nothing, stores nothing, and shows nothing to people.

mod answers;
mod api;
mod api_error;
mod base_path;
mod body;
mod deadline;
mod door;
mod framing;
mod gate;
mod hosts;
mod json;
pub mod limits;
mod listen;
mod metrics;
pub mod query;
mod routes;
mod shares;

pub use answers::NoRoomNeeded;
pub use api::Api;
pub use api_error::{ApiError, HTML};
pub use base_path::BasePath;
pub use door::HttpDoor;
pub use gate::{Asked, PageOfRefusal, guarded, in_turn};
pub use hosts::{HostName, Hosts};
pub use json::JsonLine;
pub use listen::{ConnectionLimits, bind};
pub use metrics::Metrics;
pub use query::{InvalidQuery, NoQuery, Query};
pub use routes::router;
