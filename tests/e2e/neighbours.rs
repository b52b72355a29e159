//! One bad neighbour: what is wrong with one pipe, or with the jobs of one partition, costs the others nothing.

use std::time::{Duration, Instant};

use headway::v1::{JobSpec, JobState, reason::Kind};
use headway_client::{BatchBuilder, JobBuilder, JobName, TaskBuilder, create_request};
use headway_tests::{
    Deployment, Options, PATIENCE, Record, SECOND, WORK, full, leaderless, outcome_counts, range,
    until,
};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

use crate::{explain::reason, handlers::quick};

on_both!(
    beside_a_full_pipe with full_pipe,
    beside_a_queue_without_a_leader with dead_queue,
    beside_a_pipe_without_consumers,
    beside_a_worker_that_hangs,
    beside_messages_of_many_megabytes,
    what_nobody_took_is_taken_back,
    what_is_too_large_fails_alone,
    an_unused_pipe_is_removed_and_comes_back with short_pipes,
    more_pipes_than_the_bound with one_pipe,
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

async fn what_nobody_took_is_taken_back(d: Deployment) {
    let name = d.create("nobody", range(50, 50).build()).await;
    d.watch_until(&name, "its items are out", |job| {
        job.progress.unwrap_or_default().items_in_flight == 50
    })
    .await;
    let out = reason(&d, &name, Kind::InFlight).await;
    assert!(out.message.contains("no worker is there"), "{out:?}");
    let begun = Instant::now();
    d.client().cancel_job(&name).await.unwrap();
    let settling = reason(&d, &name, Kind::Settling).await;
    assert!(
        settling.message.contains("no worker consumes"),
        "{settling:?}"
    );
    let job = d.finish(&name, JobState::Cancelled).await;
    assert_eq!(outcome_counts(&job), [50, 0, 0, 50]);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    // A worker that comes late meets the messages, and changes nothing.
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let pipe = headway_broker::Queue::Pipe(WORK.to_owned());
    until("the messages to be taken", PATIENCE, || async {
        let depth = d.broker().depth(&pipe).await.unwrap();
        (depth.ready == 0 && depth.consumers > 0).then_some(())
    })
    .await;
    assert_eq!(d.job(&name).await.revision, job.revision);
}

async fn what_is_too_large_fails_alone(d: Deployment) {
    d.worker(|worker| worker.handler(|_: Task| async { Ok::<_, TaskError>(Outcome::done()) }));
    // Each item repeats its own text: one of them is above what a payload may have.
    let list = json!(["a", "b", "c".repeat(20_000), "d"]);
    let repeated = "{{item}}".repeat(60);
    let batch = BatchBuilder::new("list").json(&list).unwrap();
    let batch = batch.item(WORK, "number").item_payload(&json!(repeated));
    let name = d
        .create("large", JobBuilder::new(batch.unwrap()).build())
        .await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [4, 3, 1, 0]);
    let failures = d.failures(&name).await;
    assert!(failures[0].message.contains("1048576"), "{failures:?}");
}

fn short_pipes(options: &mut Options) {
    options.config.pipe_retention = Duration::from_secs(1);
}

/// The pipes that the partition's jobs have used, as far as they are kept.
async fn pipes(d: &Deployment) -> Vec<String> {
    let partition = headway::v1::ListPipesRequest {
        parent: "partitions/default".to_owned(),
        ..Default::default()
    };
    let listed = d.client().list_pipes(partition).await.unwrap();
    listed.pipes.into_iter().map(|pipe| pipe.name).collect()
}

async fn an_unused_pipe_is_removed_and_comes_back(d: Deployment) {
    for round in 0..2 {
        let record = Record::default();
        let worker = d.worker(|worker| worker.handler(quick(&record)));
        let name = d
            .create(&format!("round-{round}"), range(20, 20).build())
            .await;
        d.finish(&name, JobState::Completed).await;
        record.assert_each_once(20);
        // Processes remember for a minute that they noted a pipe, so only the first use is sure to be listed.
        assert!(round > 0 || pipes(&d).await.len() == 1);
        worker.stop();
        until("the pipe to be removed", PATIENCE, || async {
            pipes(&d).await.is_empty().then_some(())
        })
        .await;
    }
}

fn one_pipe(options: &mut Options) {
    options.config.max_pipes = 1;
}

async fn more_pipes_than_the_bound(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let name = d.create("first", range(1, 1).build()).await;
    d.finish(&name, JobState::Completed).await;
    let second = JobBuilder::new(TaskBuilder::new(SECOND, "number").json(&json!(1))).build();
    let refused = d
        .client()
        .create_job(headway_tests::request("second", second))
        .await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), headway_client::Code::ResourceExhausted);
    assert!(error.to_string().contains("max_pipes"), "{error}");
}
