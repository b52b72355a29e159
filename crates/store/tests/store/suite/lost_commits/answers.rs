//! Callers that never hear of a commit, as each dialect makes them.

use headway_store::{Store, StoreConfig, StoreError};

use super::{Commits, Ended};
use crate::{
    dialects::{postgres, sqlite},
    suite::Fixture,
};

/// A handle whose callers do not hear of a commit.
pub(crate) enum Losing {
    Postgres(postgres::answers::Losing),
    Sqlite(sqlite::answers::Losing),
}

impl Losing {
    pub(crate) async fn start(f: &Fixture) -> Self {
        match f.is_postgres() {
            true => Self::Postgres(postgres::answers::Losing::start(f).await),
            false => Self::Sqlite(sqlite::answers::Losing::start(f).await),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        match self {
            Self::Postgres(losing) => &losing.store,
            Self::Sqlite(losing) => &losing.store,
        }
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        match self {
            Self::Postgres(losing) => &losing.config,
            Self::Sqlite(losing) => &losing.config,
        }
    }

    /// Functions, and parts of their lines, that commit on another dialect alone.
    pub(crate) fn never_commits(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Postgres(_) => postgres::answers::Losing::NEVER_COMMITS,
            Self::Sqlite(_) => sqlite::answers::Losing::NEVER_COMMITS,
        }
    }

    /// Makes a call, which does not hear of the commit after this many others.
    pub(crate) async fn call<T>(
        &self,
        skip: u32,
        commits: &Commits,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Ended<T> {
        match self {
            Self::Postgres(losing) => losing.call(skip, commits, call).await,
            Self::Sqlite(losing) => losing.call(skip, commits, call).await,
        }
    }
}
