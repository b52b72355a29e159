//! The mark by which a broker that lost its data is told from one that did not.

use std::sync::Arc;

use headway_broker::Broker;
use headway_relay::Relay;
use headway_tests::Namespace;
use headway_worker::CancellationToken;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use tokio::task::JoinSet;

/// Processes that look at the same moment.
const PROCESSES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_begin_one_epoch() {
    let namespace = Namespace::new();
    let store = namespace.store().await.expect("makes the tables");
    let shutdown = CancellationToken::new();
    let mut deleters = JoinSet::new();
    let mut brokers = Vec::new();
    let mut relays = Vec::new();
    for _ in 0..PROCESSES {
        let broker = Arc::new(namespace.broker().await.expect("connects"));
        let (relay, deleter) = Relay::new(store.clone(), broker.clone(), shutdown.clone());
        deleters.spawn(deleter);
        brokers.push(broker);
        relays.push(relay);
    }
    let database = namespace.database().await.expect("connects");
    for number in 1..=3 {
        let looking = relays.iter().map(Relay::check_epoch);
        for missing in futures::future::join_all(looking).await {
            missing.expect("both answer");
        }
        let (begun, mark) = epoch(&database).await;
        assert_eq!(begun, number, "begun together, and once");
        for relay in &relays {
            assert!(!relay.check_epoch().await.expect("both answer"));
        }
        brokers[0].remove_epoch(mark).await.expect("is there");
    }
    shutdown.cancel();
    deleters.join_all().await;
    for broker in brokers {
        broker.close().await;
    }
    store.close().await;
    database.close().await.expect("closes");
    namespace.remove().await.expect("removes everything");
}

/// The number of the epoch, and its mark.
async fn epoch(database: &DatabaseConnection) -> (u32, uuid::Uuid) {
    let sql = "SELECT value FROM setting WHERE name = 'epoch'";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.expect("answers");
    let value: String = row.expect("is set").try_get("", "value").expect("a text");
    let (number, mark) = value.split_once(':').expect("two parts");
    (
        number.parse().expect("a number"),
        mark.parse().expect("an id"),
    )
}
