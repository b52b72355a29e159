//! A pipe that no job uses is removed, also where the broker is away when its queue is deleted.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headway_broker::{
    Broker, BrokerError, Consumer, Depth, InProcessBroker, Outgoing, Queue, Subscription, Topic,
};
use headway_domain::events::Caller;
use headway_relay::Relay;
use headway_runtime::tasks::{self, Supervisor};
use headway_store::{Store, StoreConfig, StoreUrl};
use headway_worker_tracking::{Tracker, TrackerConfig};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use common::task;

const LIMIT: Duration = Duration::from_secs(20);

/// Pipes in memory, of which one cannot be deleted at first.
#[derive(Debug, Clone)]
struct Failing {
    inner: InProcessBroker,
    deletions: Arc<AtomicUsize>,
}

#[async_trait]
impl Broker for Failing {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        self.inner.publish(messages).await
    }

    async fn consume(
        &self,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.inner.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        self.inner.depth(queue).await
    }

    async fn purge(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.inner.purge(queue).await
    }

    async fn delete(&self, queue: &Queue) -> Result<(), BrokerError> {
        let pipe = Queue::Pipe("work".to_owned());
        if *queue == pipe && self.deletions.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(BrokerError::Unavailable("away for a moment".to_owned()));
        }
        self.inner.delete(queue).await
    }

    async fn broadcast(&self, topic: Topic, key: u8, body: Bytes) {
        self.inner.broadcast(topic, key, body).await;
    }

    async fn subscribe(
        &self,
        topic: Topic,
        keys: &[u8],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.inner.subscribe(topic, keys).await
    }

    async fn plant_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        self.inner.plant_epoch(epoch).await
    }

    async fn has_epoch(&self, epoch: Uuid) -> Result<bool, BrokerError> {
        self.inner.has_epoch(epoch).await
    }

    async fn remove_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        self.inner.remove_epoch(epoch).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_removed_although_its_queue_could_not_be_deleted_at_first() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("headway.db").display());
    let config = StoreConfig::new(StoreUrl::new(url));
    let store = Store::connect(&config).await.unwrap();
    let created = store.create_job(task()).await.unwrap();
    let name = created.view.job.meta.name.clone();
    store.delete_job(&name, &Caller::default()).await.unwrap();
    assert_eq!(store.pipes().unused().await.unwrap(), ["work"]);

    let broker = Failing {
        inner: InProcessBroker::new(),
        deletions: Arc::default(),
    };
    let shutdown = CancellationToken::new();
    let (relay, deleter) = Relay::new(store.clone(), Arc::new(broker.clone()), shutdown.clone());
    tasks::spawn(deleter);
    let supervisor = Supervisor::new(shutdown.clone());
    let config = TrackerConfig {
        pipe_retention: Duration::from_millis(40),
        ..TrackerConfig::default()
    };
    Tracker::new(relay, config, shutdown.clone()).spawn(&supervisor);
    let removed = async {
        while !store.pipes().unused().await.unwrap().is_empty()
            || broker.deletions.load(Ordering::SeqCst) < 2
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, removed).await.unwrap();
    shutdown.cancel();
    supervisor.join(LIMIT).await.unwrap();
}
