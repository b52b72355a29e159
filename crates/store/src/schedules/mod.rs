//! Schedules, and the jobs that they make.

pub(crate) mod edit;
pub(crate) mod entity;
pub(crate) mod fire;
pub(crate) mod jobs;
pub(crate) mod look;
pub(crate) mod read;
pub(crate) mod row;
pub(crate) mod view;

use crate::{db::Tx, error::StoreError, store::Store};

/// The schedules of all partitions.
#[derive(Debug, Clone, Copy)]
pub struct Schedules<'a> {
    store: &'a Store,
    /// See `rehearsing`.
    rehearse: bool,
}

impl Store {
    /// The schedules of all partitions.
    pub fn schedules(&self) -> Schedules<'_> {
        Schedules {
            store: self,
            rehearse: false,
        }
    }
}

impl Schedules<'_> {
    /// The same; if this is set, `create`, `update` and `delete` do everything but commit.
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
