//! What only PostgreSQL has: row locks that others can hold, and plans that choose among indexes.

pub(crate) mod altered;
pub(crate) mod answers;
mod failover;
pub(crate) mod indexes;
pub(crate) mod late;
pub(crate) mod locks;
pub(crate) mod lost_answers;
pub(crate) mod outages;
pub(crate) mod proxy;
pub(crate) mod refusals;
mod server;
pub(crate) mod texts;

use std::time::Duration;

use crate::suite::{Fixture, PATIENCE};
use headway_runtime::tasks;
use headway_store::{StoreConfig, StoreUrl};
use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use uuid::Uuid;

/// Gives a case a schema, and drops the schema whatever happens.
pub(crate) async fn run<Ended>(case: impl FnOnce(Fixture) -> Ended + Send + 'static)
where
    Ended: Future<Output = ()> + Send + 'static,
{
    let Ok(url) = std::env::var("HEADWAY_TEST_DATABASE_URL") else {
        panic!(
            "HEADWAY_TEST_DATABASE_URL is not set: run `make test`, which starts a private PostgreSQL"
        )
    };
    // Nobody pulls the plug on this server: a commit need not wait for the disk.
    let mark = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{mark}options[synchronous_commit]=off");
    let config = StoreConfig {
        schema: format!("test_{}", Uuid::new_v4().simple()),
        connections: 8,
        lease: Duration::from_secs(3600),
        ..StoreConfig::new(StoreUrl::new(url.as_str()))
    };
    let mut raw = ConnectOptions::new(url.as_str());
    raw.sqlx_logging(false)
        .max_connections(4)
        .set_schema_search_path(config.schema.as_str());
    let schema = config.schema.clone();
    let played = tasks::spawn(async move { case(Fixture::connect(config, raw).await).await });
    let stop = played.abort_handle();
    let ended = tokio::time::timeout(PATIENCE, played).await;
    stop.abort();
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false).max_connections(1);
    let admin = Database::connect(options).await.unwrap();
    admin
        .execute_unprepared(&format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"))
        .await
        .unwrap();
    ended.unwrap().unwrap();
}
