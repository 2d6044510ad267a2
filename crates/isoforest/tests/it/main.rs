//! Tests of the crate through its public face.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers of the tests are small")]

mod engines;
mod format;
mod properties;
mod reference;
