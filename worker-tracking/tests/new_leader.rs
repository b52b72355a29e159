//! A process that becomes the leader repairs at once what an older epoch's broker had.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod common;

use std::{sync::Arc, time::Duration};

use headway_broker::{Broker, InProcessBroker, Queue};
use headway_relay::Relay;
use headway_runtime::tasks::{self, Supervisor};
use headway_store::{Store, StoreConfig, StoreUrl};
use headway_worker_tracking::{Tracker, TrackerConfig};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use common::task;

const LIMIT: Duration = Duration::from_secs(30);
/// How long another process, which is gone, still holds all shards: longer than the new process needs
/// to look at the broker for the first time.
const HELD: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_items_are_sent_again_once_a_process_leads() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("headway.db").display());
    let store = Store::connect(&StoreConfig::new(StoreUrl::new(url)))
        .await
        .unwrap();
    let shutdown = CancellationToken::new();
    let relay = |broker: &InProcessBroker| {
        let broker = Arc::new(broker.clone());
        let (relay, deleter) = Relay::new(store.clone(), broker, shutdown.clone());
        tasks::spawn(deleter);
        relay
    };
    let lost = InProcessBroker::new();
    let before = relay(&lost);
    before.check_epoch().await.unwrap();
    before
        .publish(store.create_job(task()).await.unwrap().committed)
        .await;
    // The batch worker takes it from there to its pipe.
    assert_eq!(lost.depth(&Queue::Batch).await.unwrap().ready, 1);

    let held = i64::try_from(HELD.as_micros()).unwrap();
    store.claim_shards(Uuid::new_v4(), held).await.unwrap();
    let broker = InProcessBroker::new();
    let config = TrackerConfig {
        claim: Duration::from_millis(200),
        // Nothing but the change of the leader makes it look again.
        epoch_interval: Duration::from_secs(3600),
        ..TrackerConfig::default()
    };
    let supervisor = Supervisor::new(shutdown.clone());
    Tracker::new(relay(&broker), config, shutdown.clone()).spawn(&supervisor);
    let sent_again = async {
        while broker.depth(&Queue::Batch).await.unwrap().ready == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, sent_again).await.unwrap();
    shutdown.cancel();
    supervisor.join(LIMIT).await.unwrap();
}
