//! The mark by which a broker that lost its data is told from one that did not.

use std::sync::Arc;

use headway::v1::JobState;
use headway_broker::{Broker, Queue};
use headway_client::{JobBuilder, TaskBuilder};
use headway_relay::Relay;
use headway_tests::{BackEnd, Deployment, Namespace, Options, PATIENCE, Record, WORK, run, until};
use headway_worker::CancellationToken;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::json;
use tokio::task::JoinSet;

use crate::handlers::quick;

/// Processes that look at the same moment.
const PROCESSES: usize = 8;
/// Jobs of one task each, created after the broker lost its data.
const TASKS: u32 = 100;
/// Items of the batch that is created then.
const ITEMS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_created_in_a_new_epoch_is_sent_once() {
    run(Options::new(BackEnd::Cluster), create_in_a_new_epoch).await;
}

async fn create_in_a_new_epoch(d: Deployment) {
    let database = d.namespace().unwrap().database().await.unwrap();
    let (before, mark) = epoch(&database).await;
    d.broker().remove_epoch(mark).await.unwrap();
    until("a new epoch", PATIENCE, || async {
        (epoch(&database).await.0 > before).then_some(())
    })
    .await;
    database.close().await.unwrap();

    let task = |number: u32| JobBuilder::new(TaskBuilder::new(WORK, "number").json(&json!(number)));
    let mut names = Vec::new();
    for number in 0..TASKS {
        let id = format!("task-{number}");
        names.push(d.create(&id, task(number).build()).await);
    }
    // Numbers that no task has.
    let numbers = headway_client::BatchBuilder::new("range")
        .json(&json!({"from": TASKS, "to": TASKS + ITEMS, "page": 25}))
        .item(WORK, "number");
    names.push(d.create("batch", JobBuilder::new(numbers).build()).await);

    let pipe = Queue::Pipe(WORK.to_owned());
    let sent = || async { d.broker().depth(&pipe).await.unwrap().ready };
    until("all messages", PATIENCE, || async {
        (sent().await >= u64::from(TASKS + ITEMS)).then_some(())
    })
    .await;
    // These are the jobs whose messages the sweep after a lost broker sends again.
    let swept = d.store().jobs_of_older_epochs().await.unwrap();
    assert_eq!(swept, Vec::<i64>::new());
    assert_eq!(sent().await, u64::from(TASKS + ITEMS));
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    for name in &names {
        d.finish(name, JobState::Completed).await;
    }
    record.assert_each_once(TASKS + ITEMS);
}

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
