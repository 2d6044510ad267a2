//! Damage to a database that shows while it is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::Trouble;

use crate::error::trouble_of;

/// Remembers that SQLite reported damage, to the writer or to a reader; they share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Damage(Arc<AtomicBool>);

impl Damage {
    /// Returns `true` if damage was found.
    pub(crate) fn is_found(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns `true` if an error means damage, which is remembered and logged once.
    pub(crate) fn notice(&self, error: &rusqlite::Error) -> bool {
        let is_damage = trouble_of(error) == Trouble::Corrupt;
        if is_damage && !self.0.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %error,
                "the database is damaged; lists show what can be read, and the next start looks at all of it"
            );
        }
        is_damage
    }
}
