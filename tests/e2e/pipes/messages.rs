//! What pipes do to their own jobs: nobody takes their messages, messages are too large, pipes come
//! and go.

use std::time::Duration;

use headway::v1::{JobState, job_reason::Kind};
use headway_client::{BatchBuilder, JobBuilder, TaskBuilder};
use headway_tests::{
    Deployment, Options, PATIENCE, Record, SECOND, TIGHT_BYTES, WORK, handlers::quick,
    outcome_counts, range, tight, until,
};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

use crate::jobs::explain::reason;

on_both!(
    what_nobody_took_is_taken_back,
    what_is_too_large_fails_alone,
    what_is_too_large_together_is_sent_alone with small_messages,
    an_unused_pipe_is_removed_and_comes_back with short_pipes,
    more_pipes_than_the_bound with one_pipe,
);

async fn what_nobody_took_is_taken_back(d: Deployment) {
    let name = d.create("nobody", range(50, 50).build()).await;
    d.watch_until(&name, "its items are out", |job| {
        job.progress.unwrap_or_default().items_in_flight == 50
    })
    .await;
    let out = reason(&d, &name, Kind::InFlight).await;
    assert!(out.message.contains("no worker is there"), "{out:?}");
    d.client().cancel_job(&name).await.unwrap();
    let settling = reason(&d, &name, Kind::Settling).await;
    assert!(
        settling.message.contains("no worker consumes"),
        "{settling:?}"
    );
    // It waits for this less long than a lease, or the repair of lost messages, takes: those would
    // settle it, too.
    let job = d.finish(&name, JobState::Cancelled).await;
    assert_eq!(outcome_counts(&job), [50, 0, 0, 50]);
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
    let batch = BatchBuilder::new("list").json(&list);
    let batch = batch.item(WORK, "number").item_payload(&json!(repeated));
    let name = d.create("large", JobBuilder::new(batch).build()).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [4, 3, 1, 0]);
    let failures = d.failures(&name).await;
    assert!(failures[0].message.contains("1048576"), "{failures:?}");
}

fn small_messages(options: &mut Options) {
    options.wrap = tight;
}

async fn what_is_too_large_together_is_sent_alone(d: Deployment) {
    d.worker(|worker| {
        let done = |_: Task| async { Ok::<_, TaskError>(Outcome::done()) };
        worker.pipe(SECOND).handler(done)
    });
    // Of five items in a message one is too large by itself, and all together are.
    let small = "s".repeat(TIGHT_BYTES / 4);
    let list = json!([small, small, "l".repeat(TIGHT_BYTES), small, small]);
    let batch = BatchBuilder::new("list").json(&list);
    let spec = JobBuilder::new(batch.item(SECOND, "text")).items_per_message(5);
    let name = d.create("together", spec.build()).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [5, 4, 1, 0]);
    let failures = d.failures(&name).await;
    assert_eq!(failures[0].code, "MESSAGE_TOO_LARGE", "{failures:?}");
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
        // Processes remember for a minute that they noted a pipe, so only the first use is sure to
        // be listed.
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
