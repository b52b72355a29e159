//! Every message is published twice, and several workers of each role get in each other's way.

use std::time::Duration;

use headway::v1::JobState;
use headway_client::{BatchBuilder, JobBuilder};
use headway_tests::{Deployment, Options, Record, WORK, outcome_counts, range, twice};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

use crate::handlers::{number, quick, slow};

on_both!(
    every_message_twice with doubled,
    a_single_task_twice with doubled,
    pauses_and_cancellations_twice with doubled,
    two_batch_workers_on_one_page with doubled,
);

fn doubled(options: &mut Options) {
    options.wrap = twice;
    options.copies = 2;
}

async fn every_message_twice(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    d.worker(|worker| {
        worker.broker(twice(d.broker())).handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                drop(running);
                match (number(&task)? % 50, task.attempt()) {
                    (1, _) => Err(TaskError::fatal("NO", "no")),
                    (2, 1) => Err(TaskError::retryable("BUSY", "not now")),
                    _ => Ok(Outcome::done()),
                }
            }
        })
    });
    let name = d
        .create("twice", range(1000, 150).items_per_message(4).build())
        .await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [1000, 980, 20, 0]);
    assert_eq!((job.failure_count, d.failures(&name).await.len()), (20, 20));
    let runs = record.runs();
    assert_eq!(runs.len(), 1000);
    assert!(record.total() > 1000, "messages came twice");
    eprintln!("{} runs of 1000 items", record.total());
}

async fn a_single_task_twice(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.broker(twice(d.broker())).handler(quick(&record)));
    for number in 0..20 {
        let task = headway_client::TaskBuilder::new(WORK, "t").json(&json!(number));
        let name = d
            .create(&format!("t{number}"), JobBuilder::new(task).build())
            .await;
        let job = d.finish(&name, JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [1, 1, 0, 0]);
    }
    assert_eq!(record.runs().len(), 20);
}

async fn pauses_and_cancellations_twice(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(1));
    d.worker(|worker| worker.broker(twice(d.broker())).handler(handler));
    let name = d.create("turns", range(1000, 200).build()).await;
    for _ in 0..3 {
        if d.client().pause_job(&name).await.is_err() {
            break;
        }
        d.client().resume_job(&name).await.unwrap();
    }
    d.client().cancel_job(&name).await.unwrap();
    d.finish(&name, JobState::Cancelled).await;
    d.client().retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1000, 1000, 0, 0]);
    assert_eq!(record.runs().len(), 1000);
}

async fn two_batch_workers_on_one_page(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let folder = tempfile::tempdir().unwrap();
    for number in 0..120 {
        let place = folder.path().join(format!("{}", number % 12));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("{number}")), "text").unwrap();
    }
    // Not reproducible: both find the page, and what the first one recorded counts.
    let batch = BatchBuilder::new("files")
        .json(&json!({"root": folder.path()}))
        .item(WORK, "file");
    let name = d.create("files", JobBuilder::new(batch).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [120, 120, 0, 0]);
    assert_eq!(record.runs().len(), 120);
}
