//! Nothing is acknowledged before what it caused is committed: a process that is killed in between
//! must find the report again. One that ends in order applies what waits first.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headway::wire::{PageReport, ReportMessage};
use headway_broker::{
    Acker, Broker, BrokerError, Consumer, Delivery, DeliveryTag, Depth, InProcessBroker, Outgoing,
    Queue, Subscription, Topic,
};
use headway_domain::JobUid;
use headway_relay::Relay;
use headway_runtime::tasks::{self, Supervisor};
use headway_store::{Store, StoreConfig, StoreUrl};
use headway_worker_tracking::{Tracker, TrackerConfig};
use prost::Message;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use common::task;

/// How many items of the job were done at each acknowledgement.
type Seen = Arc<Mutex<Vec<u64>>>;

/// Pipes in memory whose acknowledgements look into the database first.
#[derive(Debug, Clone)]
struct Watchful {
    inner: InProcessBroker,
    store: Store,
    job: JobUid,
    seen: Seen,
}

struct WatchfulConsumer {
    inner: Box<dyn Consumer>,
    broker: Watchful,
}

struct WatchfulAcker {
    inner: Arc<dyn Acker>,
    broker: Watchful,
}

#[async_trait]
impl Acker for WatchfulAcker {
    async fn ack(&self, tags: &[DeliveryTag]) {
        if !tags.is_empty() {
            let view = self.broker.store.job_state(self.broker.job).await;
            let done = view.unwrap().unwrap().job.counts.done;
            self.broker.seen.lock().unwrap().push(done);
        }
        self.inner.ack(tags).await;
    }

    async fn reject(&self, tags: &[DeliveryTag], requeue: bool) {
        self.inner.reject(tags, requeue).await;
    }
}

#[async_trait]
impl Consumer for WatchfulConsumer {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        self.inner.next(max).await
    }

    fn acker(&self) -> Arc<dyn Acker> {
        Arc::new(WatchfulAcker {
            inner: self.inner.acker(),
            broker: self.broker.clone(),
        })
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        self.inner.set_prefetch(prefetch).await
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
    }
}

#[async_trait]
impl Broker for Watchful {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        self.inner.publish(messages).await
    }

    async fn consume(
        &self,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        Ok(Box::new(WatchfulConsumer {
            inner: self.inner.consume(queue, prefetch).await?,
            broker: self.clone(),
        }))
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        self.inner.depth(queue).await
    }

    async fn purge(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.inner.purge(queue).await
    }

    async fn delete(&self, queue: &Queue) -> Result<(), BrokerError> {
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

fn done(job: JobUid) -> Bytes {
    let page = PageReport {
        job_uid: Bytes::copy_from_slice(job.0.as_bytes()),
        page: 1,
        done: vec![0],
        ..PageReport::default()
    };
    let message = ReportMessage {
        pages: vec![page],
        ..ReportMessage::default()
    };
    message.encode_to_vec().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_committed_before_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("headway.db").display());
    let config = StoreConfig::new(StoreUrl::new(url));
    let store = Store::connect(&config).await.unwrap();
    let created = store.create_job(task()).await.unwrap();
    let meta = created.view.job.meta.clone();
    let seen = Seen::default();
    let broker = Watchful {
        inner: InProcessBroker::new(),
        store: store.clone(),
        job: meta.uid,
        seen: seen.clone(),
    };
    let shutdown = CancellationToken::new();
    let (relay, deleter) = Relay::new(store.clone(), Arc::new(broker.clone()), shutdown.clone());
    tasks::spawn(deleter);
    let supervisor = Supervisor::new(shutdown.clone());
    Tracker::new(relay, TrackerConfig::default(), shutdown.clone()).spawn(&supervisor);

    let report = Outgoing {
        queue: Queue::Reports(meta.shard),
        body: done(meta.uid),
    };
    assert_eq!(broker.publish(vec![report]).await, [Ok(())]);
    let acknowledged = async {
        while seen.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, acknowledged).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1]);
    shutdown.cancel();
    supervisor.join(limit).await.unwrap();
}

/// Pipes inside the process end with it, so what workers reported while they drained is applied
/// first.
#[tokio::test]
async fn reports_that_wait_are_applied_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("headway.db").display());
    let config = StoreConfig::new(StoreUrl::new(url));
    let store = Store::connect(&config).await.unwrap();
    let created = store.create_job(task()).await.unwrap();
    let meta = created.view.job.meta.clone();
    let broker = InProcessBroker::new();
    let shutdown = CancellationToken::new();
    let (relay, deleter) = Relay::new(store.clone(), Arc::new(broker.clone()), shutdown.clone());
    tasks::spawn(deleter);
    let supervisor = Supervisor::new(shutdown.clone());
    Tracker::new(relay, TrackerConfig::default(), shutdown.clone()).spawn(&supervisor);
    let limit = Duration::from_secs(20);
    let queue = Queue::Reports(meta.shard);
    let consumed = async {
        while broker.depth(&queue).await.unwrap().consumers == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(limit, consumed).await.unwrap();

    let body = done(meta.uid);
    assert_eq!(
        broker.publish(vec![Outgoing { queue, body }]).await,
        [Ok(())]
    );
    shutdown.cancel();
    supervisor.join(limit).await.unwrap();
    let view = store.job_state(meta.uid).await.unwrap().unwrap();
    assert_eq!(view.job.counts.done, 1);
}
