//! What is SQLite's own.

pub(crate) mod answers;
pub(crate) mod codes;
pub(crate) mod commits;
mod disk;

use crate::suite::{Fixture, PATIENCE};
use headway_runtime::tasks;
use headway_store::{StoreConfig, StoreUrl};
use sea_orm::ConnectOptions;

/// Gives a case a database file, and removes the file whatever happens.
pub(crate) async fn run<Ended>(case: impl FnOnce(Fixture) -> Ended + Send + 'static)
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
