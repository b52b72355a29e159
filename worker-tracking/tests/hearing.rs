//! A lease does not end while what the worker reported waits in the queue of its shard.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod common;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headway::wire::{ItemReport, Leased, PageReport, ReportMessage, item_report::Event};
use headway_broker::{Broker, InProcessBroker, Outgoing, Queue};
use headway_domain::{JobState, JobUid};
use headway_relay::{Relay, codec::decode_reports};
use headway_runtime::tasks::{self, Supervisor};
use headway_store::{Store, StoreConfig, StoreUrl};
use headway_worker_tracking::{Tracker, TrackerConfig};
use prost::Message;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use common::task;

/// More than a shard takes at once, and more than the broker delivers to it unacknowledged.
const HEARTBEATS: usize = 2500;
const LIMIT: Duration = Duration::from_secs(30);

fn page(job: JobUid) -> PageReport {
    PageReport {
        job_uid: Bytes::copy_from_slice(job.0.as_bytes()),
        page: 1,
        ..PageReport::default()
    }
}

fn leased(job: JobUid) -> ReportMessage {
    let item = ItemReport {
        event: Some(Event::Leased(Leased {})),
        ..ItemReport::default()
    };
    ReportMessage {
        session: Bytes::copy_from_slice(Uuid::new_v4().as_bytes()),
        pages: vec![PageReport {
            items: vec![item],
            ..page(job)
        }],
        ..ReportMessage::default()
    }
}

fn done(job: JobUid) -> ReportMessage {
    ReportMessage {
        pages: vec![PageReport {
            done: vec![0],
            ..page(job)
        }],
        ..ReportMessage::default()
    }
}

fn heartbeat() -> ReportMessage {
    ReportMessage {
        session: Bytes::copy_from_slice(Uuid::new_v4().as_bytes()),
        ..ReportMessage::default()
    }
}

/// Looks until it is so.
async fn until<Look: Future<Output = bool>>(mut look: impl FnMut() -> Look) {
    let waiting = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_waits_ends_its_lease_and_the_lease_does_not_end_first() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("headway.db").display());
    let config = StoreConfig {
        lease: Duration::from_millis(1),
        ..StoreConfig::new(StoreUrl::new(url))
    };
    let store = Store::connect(&config).await.unwrap();
    let created = store.create_job(task()).await.unwrap();
    let owed: Vec<i64> = created
        .committed
        .outbox
        .iter()
        .map(|owed| owed.id)
        .collect();
    store.outbox_sent(&owed).await.unwrap();
    let meta = created.view.job.meta.clone();
    // The item is leased, and tracking goes away for longer than the lease.
    let report = decode_reports(leased(meta.uid).encode_to_vec().into()).unwrap();
    let applied = store.apply_reports(&report.pages).await.unwrap();
    assert_eq!(applied.applied.applied, 1);
    let lease = store.next_due(meta.shard).await.unwrap().lease.unwrap();
    until(|| async { lease < store.now() }).await;

    // Meanwhile heartbeats of many workers came, and the outcome.
    let broker = InProcessBroker::new();
    let outgoing = |message: &ReportMessage| Outgoing {
        queue: Queue::Reports(meta.shard),
        body: message.encode_to_vec().into(),
    };
    let mut reports: Vec<_> = (0..HEARTBEATS).map(|_| outgoing(&heartbeat())).collect();
    reports.push(outgoing(&done(meta.uid)));
    let published = broker.publish(reports).await;
    assert!(published.iter().all(Result::is_ok));

    let shutdown = CancellationToken::new();
    let (relay, deleter) = Relay::new(store.clone(), Arc::new(broker.clone()), shutdown.clone());
    tasks::spawn(deleter);
    let supervisor = Supervisor::new(shutdown.clone());
    Tracker::new(relay, TrackerConfig::default(), shutdown.clone()).spawn(&supervisor);
    until(|| async {
        let view = store.job_state(meta.uid).await.unwrap().unwrap();
        view.job.state() == JobState::Completed
    })
    .await;
    // Nothing was sent again, and nothing is about to be.
    assert_eq!(store.outbox_len().await.unwrap(), 0);
    for queue in [Queue::Batch, Queue::Pipe("work".to_owned())] {
        assert_eq!(broker.depth(&queue).await.unwrap().ready, 0, "{queue:?}");
    }
    shutdown.cancel();
    supervisor.join(LIMIT).await.unwrap();
}
