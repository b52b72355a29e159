//! Write transactions.

use std::panic::Location;

use sea_orm::DatabaseTransaction;
use tokio::sync::MutexGuard;

use crate::{db::pools::Freshness, error::StoreError};

/// How much a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It survives a power loss: what a client was told.
    Full,
    /// On SQLite it survives the process but perhaps not the machine: what messages can make again.
    Process,
}

/// The target of the trace events that say where in the code a transaction ended. Tests use them to
/// lose the answer of each commit.
const COMMITS: &str = "headway_store::commits";

pub(crate) fn trace_commit(place: &Location<'_>, committed: bool) {
    tracing::trace!(target: COMMITS, %place, committed, "ended a transaction");
}

/// A write transaction.
pub(crate) struct Tx<'a> {
    pub(crate) inner: DatabaseTransaction,
    pub(crate) fresh: &'a Freshness,
    pub(crate) _writer: Option<MutexGuard<'a, ()>>,
}

impl Tx<'_> {
    /// Commits. After an error the transaction is rolled back, or its connection is closed; whether
    /// the commit was applied is not known if the connection was lost.
    #[track_caller]
    pub(crate) fn commit(self) -> impl Future<Output = Result<(), StoreError>> {
        self.commit_at(Location::caller())
    }

    pub(crate) async fn commit_at(
        self,
        place: &'static Location<'static>,
    ) -> Result<(), StoreError> {
        let fresh = self.fresh;
        let committed = self.inner.commit().await;
        trace_commit(place, committed.is_ok());
        committed.map_err(|error| fresh.note(error))?;
        fresh.committed();
        Ok(())
    }

    /// Rolls back what was only tried. Dropped, the transaction would keep its locks for a while.
    pub(crate) async fn undo(self) -> Result<(), StoreError> {
        let fresh = self.fresh;
        let undone = self.inner.rollback().await;
        undone.map_err(|error| fresh.note(error))
    }

    /// Commits what worked, or rolls back at once what failed. A transaction that is dropped keeps
    /// its locks until its connection is looked at again, and the next try, which skips locked
    /// rows, would not find them.
    #[track_caller]
    pub(crate) fn end<T>(
        self,
        worked: Result<T, StoreError>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.end_at(Location::caller(), worked)
    }

    async fn end_at<T>(
        self,
        place: &'static Location<'static>,
        worked: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match worked {
            Ok(done) => self.commit_at(place).await.map(|()| done),
            Err(error) => {
                if let Err(failure) = self.inner.rollback().await {
                    self.fresh.note(failure);
                }
                Err(error)
            }
        }
    }
}

impl std::ops::Deref for Tx<'_> {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.inner
    }
}
