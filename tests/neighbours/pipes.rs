//! What is wrong with one pipe costs jobs on other pipes nothing.

use std::time::Duration;

use headway::v1::JobState;
use headway_client::{BatchBuilder, JobBuilder, JobName, TaskBuilder};
use headway_tests::{Deployment, Options, SECOND, full, leaderless};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

use crate::measure::{Measured, create};

on_both!(
    beside_a_full_pipe with full_pipe,
    beside_a_queue_without_a_leader with dead_queue,
    beside_a_pipe_without_consumers,
    beside_a_worker_that_hangs,
);

fn full_pipe(options: &mut Options) {
    options.wrap = full;
    options.config.outbox_after = Duration::from_secs(1);
}

fn dead_queue(options: &mut Options) {
    options.wrap = leaderless;
    options.config.outbox_after = Duration::from_secs(1);
}

/// More batches than a batch worker works on at once.
const BATCHES: u32 = 20;

/// Jobs on [`SECOND`]: single tasks, which go to their pipe at once, and batches.
async fn troubles(d: &Deployment) -> Vec<JobName> {
    let mut jobs = Vec::new();
    for number in 0..6 {
        let task = TaskBuilder::new(SECOND, "number").json(&json!(number));
        let single = JobBuilder::new(task).build();
        jobs.push(create(d, "bad", &format!("single-{number}"), single).await);
    }
    for number in 0..BATCHES {
        let numbers = BatchBuilder::new("range").json(&json!({"from": 0, "to": 200, "page": 50}));
        let batch = JobBuilder::new(numbers.item(SECOND, "number")).build();
        jobs.push(create(d, "bad", &format!("batch-{number}"), batch).await);
    }
    jobs
}

/// Measures jobs beside jobs on [`SECOND`], which is in trouble.
async fn beside_troubles(d: Deployment) {
    let mut measured = Measured::with_worker(&d).await;
    let bad = troubles(&d).await;
    measured.beside(&d).await;
    for name in &bad {
        d.client().cancel_job(name).await.unwrap();
    }
    for name in &bad {
        d.finish(name, JobState::Cancelled).await;
    }
    // What still lies in the pipe is of jobs that ended.
    let second = headway_broker::Queue::Pipe(SECOND.to_owned());
    d.broker().purge(&second).await.unwrap();
    measured.judge(&d).await;
}

async fn beside_a_full_pipe(d: Deployment) {
    beside_troubles(d).await;
}

async fn beside_a_queue_without_a_leader(d: Deployment) {
    beside_troubles(d).await;
}

async fn beside_a_pipe_without_consumers(d: Deployment) {
    beside_troubles(d).await;
}

async fn beside_a_worker_that_hangs(d: Deployment) {
    let hanging = d.worker(|worker| {
        worker.pipe(SECOND).handler(|task: Task| async move {
            task.cancellation().cancelled().await;
            Ok::<_, TaskError>(Outcome::done())
        })
    });
    beside_troubles(d.clone()).await;
    hanging.stop();
}
