//! Partitions: settings, quotas and suspension.

pub(crate) mod defaults;
pub(crate) mod entity;
pub(crate) mod quotas;
pub(crate) mod settings;
pub(crate) mod suspension;
pub(crate) mod view;

use crate::{db::Tx, error::StoreError, store::Store};

/// All partitions.
#[derive(Debug, Clone, Copy)]
pub struct Partitions<'a> {
    store: &'a Store,
    /// See `rehearsing`.
    rehearse: bool,
}

impl Store {
    /// All partitions.
    pub fn partitions(&self) -> Partitions<'_> {
        Partitions {
            store: self,
            rehearse: false,
        }
    }
}

impl Partitions<'_> {
    /// The same; if this is set, `update` does everything but commit.
    #[must_use]
    pub fn rehearsing(self, rehearse: bool) -> Self {
        Self { rehearse, ..self }
    }

    /// Commits, unless it is a rehearsal.
    async fn end(self, tx: Tx<'_>) -> Result<(), StoreError> {
        match self.rehearse {
            true => tx.undo().await,
            false => tx.commit().await,
        }
    }
}
