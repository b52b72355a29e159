//! What is wrong with one pipe costs jobs on other pipes nothing.

use std::time::{Duration, Instant};

use headway::v1::{JobSpec, JobState};
use headway_client::{BatchBuilder, JobBuilder, JobName, TaskBuilder, create_request};
use headway_tests::{
    Deployment, Options, PATIENCE, Record, SECOND, full, handlers::quick, leaderless,
    outcome_counts, range, until,
};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

on_both!(
    beside_a_full_pipe with full_pipe,
    beside_a_queue_without_a_leader with dead_queue,
    beside_a_pipe_without_consumers,
    beside_a_worker_that_hangs,
    beside_messages_of_many_megabytes,
);

/// Items of the job that is measured.
const ITEMS: u32 = 1000;
/// How long its first item may take to start.
const START: Duration = Duration::from_secs(1);
/// The part of its rate alone that it keeps.
const KEPT: f64 = 0.8;
/// Measurements, of which the best counts: others use this machine too.
const ROUNDS: u32 = 4;

fn full_pipe(options: &mut Options) {
    options.wrap = full;
    options.config.outbox_after = Duration::from_secs(1);
}

fn dead_queue(options: &mut Options) {
    options.wrap = leaderless;
    options.config.outbox_after = Duration::from_secs(1);
}

async fn create(d: &Deployment, partition: &str, id: &str, spec: JobSpec) -> JobName {
    let request = headway::v1::CreateJobRequest {
        job_id: id.to_owned(),
        ..create_request(partition, spec)
    };
    let begun = Instant::now();
    d.client().create_job(request).await.unwrap();
    // It needs the database alone.
    assert!(
        begun.elapsed() < START,
        "created after {:?}",
        begun.elapsed()
    );
    JobName::new(partition, id).unwrap()
}

/// Jobs on [`SECOND`]: single tasks, which go to their pipe at once, and batches.
async fn troubles(d: &Deployment) -> Vec<JobName> {
    let mut jobs = Vec::new();
    for number in 0..6 {
        let task = TaskBuilder::new(SECOND, "number").json(&json!(number));
        let single = JobBuilder::new(task).build();
        jobs.push(create(d, "bad", &format!("single-{number}"), single).await);
        let numbers = BatchBuilder::new("range").json(&json!({"from": 0, "to": 200, "page": 50}));
        let batch = JobBuilder::new(numbers.unwrap().item(SECOND, "number")).build();
        jobs.push(create(d, "bad", &format!("batch-{number}"), batch).await);
    }
    jobs
}

/// Runs a job and tells after how long its first item started, and after how long all were done.
async fn measure(d: &Deployment, record: &Record, id: &str) -> (Duration, Duration) {
    record.clear();
    let begun = Instant::now();
    let name = create(d, "good", id, range(ITEMS, 250).build()).await;
    until("an item to start", PATIENCE, || async {
        (record.total() > 0).then_some(())
    })
    .await;
    let started = begun.elapsed();
    d.finish(&name, JobState::Completed).await;
    (started, begun.elapsed())
}

/// Measures a job alone, and then beside what `trouble` makes; cancels that in the end.
async fn beside<F: Future<Output = Vec<JobName>>>(d: &Deployment, trouble: impl FnOnce() -> F) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let mut alone = Duration::MAX;
    for round in 0..2 {
        let (_, took) = measure(d, &record, &format!("alone-{round}")).await;
        alone = alone.min(took);
    }
    let bad = trouble().await;
    let mut measured = Vec::new();
    for round in 0..ROUNDS {
        let (started, took) = measure(d, &record, &format!("beside-{round}")).await;
        measured.push((started, took));
        if started < START && took.mul_f64(KEPT) <= alone {
            break;
        }
    }
    let kept =
        |(started, took): &(Duration, Duration)| *started < START && took.mul_f64(KEPT) <= alone;
    assert!(
        measured.iter().any(kept),
        "alone {alone:?}, beside {measured:?}"
    );
    for name in &bad {
        d.client().cancel_job(name).await.unwrap();
    }
    for name in &bad {
        d.finish(name, JobState::Cancelled).await;
    }
    // What still lies in the pipe is of jobs that ended.
    d.broker()
        .purge(&headway_broker::Queue::Pipe(SECOND.to_owned()))
        .await
        .unwrap();
}

async fn beside_a_full_pipe(d: Deployment) {
    beside(&d, || troubles(&d)).await;
}

async fn beside_a_queue_without_a_leader(d: Deployment) {
    beside(&d, || troubles(&d)).await;
}

async fn beside_a_pipe_without_consumers(d: Deployment) {
    beside(&d, || troubles(&d)).await;
}

async fn beside_a_worker_that_hangs(d: Deployment) {
    let hanging = d.worker(|worker| {
        worker.pipe(SECOND).handler(|task: Task| async move {
            task.cancellation().cancelled().await;
            Ok::<_, TaskError>(Outcome::done())
        })
    });
    beside(&d, || troubles(&d)).await;
    hanging.stop();
}

/// A batch whose items have 60 kB each, 280 of them in a message: 17 MB, more than brokers take.
fn large(pipe: &str, items: u32) -> JobSpec {
    let numbers = BatchBuilder::new("range").json(&json!({"from": 0, "to": items}));
    let payload = json!({"number": "{{item}}", "text": "x".repeat(60_000)});
    let batch = numbers.unwrap().item(pipe, "large");
    let batch = batch.item_payload(&payload).unwrap();
    JobBuilder::new(batch).items_per_message(280).build()
}

async fn beside_messages_of_many_megabytes(d: Deployment) {
    d.worker(|worker| {
        let done = |_: Task| async { Ok::<_, TaskError>(Outcome::done()) };
        worker.pipe(SECOND).handler(done)
    });
    for number in 0..4 {
        create(&d, "bad", &format!("warm-{number}"), large(SECOND, 280)).await;
    }
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let (started, _) = measure(&d, &record, "beside").await;
    assert!(started < PATIENCE / 4, "{started:?}");
    for number in 0..4 {
        let name = JobName::new("bad", format!("warm-{number}")).unwrap();
        let job = d.finish(&name, JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [280, 280, 0, 0]);
    }
}
