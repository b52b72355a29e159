//! The store suite on SQLite: a file each.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

#[macro_use]
mod suite;
#[path = "sqlite/mod.rs"]
mod dialect;
#[path = "sqlite/disk.rs"]
mod disk;

use headway_runtime::tasks;
use headway_store::{StoreConfig, StoreUrl};
use sea_orm::ConnectOptions;
use suite::{Fixture, PATIENCE};

/// Gives a case a database file, and removes the file whatever happens.
async fn run<Ended>(case: impl FnOnce(Fixture) -> Ended + Send + 'static)
where
    Ended: Future<Output = ()> + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("store.db").display());
    let config = StoreConfig {
        lease: std::time::Duration::from_secs(3600),
        ..StoreConfig::new(StoreUrl::new(url.as_str()))
    };
    let mut raw = ConnectOptions::new(url);
    raw.sqlx_logging(false);
    let played = async move { case(Fixture::connect(config, raw).await).await };
    tokio::time::timeout(PATIENCE, tasks::spawn(played))
        .await
        .unwrap()
        .unwrap();
}

store_suite!(run);

cases! { run, dialect;
    commits: a_commit_that_fails, a_transaction_that_sqlite_rolls_back;
    codes: codes_of_statements, another_process_writes, files_that_cannot_be_used, a_page_is_overwritten;
}
