//! Pipes: which there are, their limits, credit, rates and dead letters.

pub(crate) mod admit;
pub(crate) mod cached;
pub(crate) mod credit;
pub(crate) mod dead_letters;
pub(crate) mod hungry;
pub(crate) mod limit_entity;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod rates;
pub(crate) mod uses;

use crate::{db::Tx, error::StoreError, store::Store};

/// All pipes.
#[derive(Debug, Clone, Copy)]
pub struct Pipes<'a> {
    store: &'a Store,
    /// See `rehearsing`.
    rehearse: bool,
}

impl Store {
    /// All pipes.
    pub fn pipes(&self) -> Pipes<'_> {
        Pipes {
            store: self,
            rehearse: false,
        }
    }
}

impl Pipes<'_> {
    /// The same; if this is set, `set_limits` and `drop_dead_letters` do everything but commit.
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
