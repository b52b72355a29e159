//! Pause, resume, cancel, retry and delete, also in quick turns and with workers that know an old
//! status.

use std::time::Duration;

use headway::{
    v1::JobState,
    wire::{ControlMessage, Disposition},
};
use headway_broker::{Queue, Topic};
use headway_client::{BatchBuilder, Code};
use headway_tests::{
    Deployment, PATIENCE, Record, WORK, deaf, outcome_counts, range, request, until,
};
use prost::Message;
use serde_json::json;

use crate::handlers::{quick, slow};

on_both!(
    pause_and_resume_in_quick_turns,
    a_paused_job_stands_still,
    a_new_worker_learns_that_a_job_is_paused,
    cancel_settles_and_retry_completes,
    cancel_and_retry_in_quick_turns,
    workers_that_know_an_old_status,
    a_status_older_than_the_message,
    deleted_and_created_again,
    delete_of_a_running_job,
);

async fn pause_and_resume_in_quick_turns(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(2));
    d.worker(|worker| worker.handler(handler));
    let name = d.create("turns", range(1500, 300).build()).await;
    for _ in 0..12 {
        let Ok(paused) = d.client().pause_job(&name).await else {
            break;
        };
        assert_eq!(paused.state(), JobState::Paused);
        d.client().resume_job(&name).await.unwrap();
    }
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1500, 1500, 0, 0]);
    // Parked items did not run, so none runs twice.
    record.assert_each_once(1500);
}

async fn a_paused_job_stands_still(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(5));
    d.worker(|worker| worker.handler(handler));
    let name = d.create("still", range(3000, 500).build()).await;
    d.watch_until(&name, "some are done", |job| outcome_counts(job)[1] > 50)
        .await;
    d.client().pause_job(&name).await.unwrap();
    let parked = until("all that is out to be parked", PATIENCE, || async {
        let job = d.job(&name).await;
        let progress = job.progress.unwrap_or_default();
        (progress.items_in_flight == 0).then_some(job)
    })
    .await;
    let ran = record.total();
    assert_eq!(parked.state(), JobState::Paused);
    assert!(ran < 3000, "it was paused too late to tell anything");
    let work = Queue::Pipe(WORK.to_owned());
    assert_eq!(d.broker().depth(&work).await.unwrap().ready, 0);
    // A job that was paused stays so however often it is paused.
    d.client().pause_job(&name).await.unwrap();
    assert_eq!(record.total(), ran);
    d.client().resume_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [3000, 3000, 0, 0]);
    record.assert_each_once(3000);
}

async fn a_new_worker_learns_that_a_job_is_paused(d: Deployment) {
    let record = Record::default();
    let name = d.create("held", range(100, 100).build()).await;
    d.watch_until(&name, "all are in the pipe", |job| {
        job.progress
            .as_ref()
            .is_some_and(|it| it.items_in_flight == 100)
    })
    .await;
    d.client().pause_job(&name).await.unwrap();
    let handler = slow(&record, Duration::from_millis(20));
    d.worker(|worker| worker.concurrency(1).handler(handler));
    until("all that is out to be parked", PATIENCE, || async {
        let progress = d.job(&name).await.progress.unwrap_or_default();
        (progress.items_in_flight == 0).then_some(())
    })
    .await;
    let ran = record.total();
    assert!(ran < 50, "{ran} items of a paused job ran");
    d.client().resume_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [100, 100, 0, 0]);
    record.assert_each_once(100);
}

async fn cancel_settles_and_retry_completes(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(5));
    d.worker(|worker| worker.handler(handler));
    let name = d.create("cancel", range(3000, 500).build()).await;
    d.watch_until(&name, "some are done", |job| outcome_counts(job)[1] > 50)
        .await;
    d.client().cancel_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Cancelled).await;
    let [_, done, failed, discarded] = outcome_counts(&job);
    assert!((50..3000).contains(&done) && failed == 0, "{job:#?}");
    let progress = job.progress.unwrap_or_default();
    assert_eq!((progress.items_in_flight, progress.items_delayed), (0, 0));
    // Items that were never sent count as discarded.
    assert_eq!(discarded, progress.items_known - done);
    assert_eq!(record.running(), 0, "nothing of a settled job runs");
    let again = d.client().cancel_job(&name).await.unwrap();
    assert_eq!(
        again.revision, job.revision,
        "cancelling again changes nothing"
    );
    let refused = d
        .client()
        .resume_job(&name)
        .await
        .expect_err("it has ended");
    assert_eq!(refused.code(), Code::FailedPrecondition);

    d.client().retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!((job.run, outcome_counts(&job)), (1, [3000, 3000, 0, 0]));
    // What was done before the cancellation is not done again; what was cancelled while it ran may
    // be.
    let runs = record.runs();
    assert_eq!(runs.len(), 3000);
    let twice = runs.values().filter(|runs| **runs > 1).count();
    assert!(
        twice <= 8,
        "{twice} ran again, but only 8 can have run when it was cancelled"
    );
}

async fn cancel_and_retry_in_quick_turns(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(2));
    d.worker(|worker| worker.handler(handler));
    let name = d.create("turns", range(1500, 200).build()).await;
    for turn in 0..4 {
        if d.client().cancel_job(&name).await.is_err() {
            break;
        }
        until("the job to be retried", PATIENCE, || async {
            d.client().retry_job(&name).await.ok()
        })
        .await;
        let job = d.client().pause_job(&name).await;
        if let Ok(job) = job {
            assert_eq!((job.run, job.state()), (turn + 1, JobState::Paused));
            d.client().resume_job(&name).await.unwrap();
        }
    }
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1500, 1500, 0, 0]);
    assert_eq!(record.runs().len(), 1500);
}

async fn workers_that_know_an_old_status(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(2));
    // It hears of each pause and of no resumption, so it parks what was sent before the pause.
    d.worker(|worker| worker.broker(deaf(d.broker())).handler(handler));
    let name = d.create("deaf", range(1500, 300).build()).await;
    for turn in 1..=6 {
        d.watch_until(&name, "some more are done", |job| {
            outcome_counts(job)[1] >= turn * 100
        })
        .await;
        d.client().pause_job(&name).await.unwrap();
        d.client().resume_job(&name).await.unwrap();
    }
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1500, 1500, 0, 0]);
    record.assert_each_once(1500);
}

async fn a_status_older_than_the_message(d: Deployment) {
    let record = Record::default();
    let name = d.create("old", range(200, 200).build()).await;
    d.client().pause_job(&name).await.unwrap();
    d.client().resume_job(&name).await.unwrap();
    d.worker(|worker| worker.handler(quick(&record)));
    let uid = d.uid(&name).await;
    // Late copies of what was true once, and a lie about a job that is not cancelled.
    for disposition in [Disposition::Park, Disposition::Discard] {
        let message = ControlMessage {
            job_uid: uid.0.as_bytes().to_vec().into(),
            control: 1,
            disposition: disposition.into(),
        };
        let body = message.encode_to_vec().into();
        d.broker().broadcast(Topic::Control, 0, body).await;
    }
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [200, 200, 0, 0]);
    record.assert_each_once(200);
}

async fn deleted_and_created_again(d: Deployment) {
    // Nobody works yet, so the first job's messages wait in the pipe.
    let batch = |to: u32, text: &str| {
        BatchBuilder::new("range")
            .json(&json!({"from": 0, "to": to, "page": 100}))
            .item_payload(&json!(format!("{text} {{{{item}}}}")))
            .item(WORK, "text")
    };
    let spec = headway_client::JobBuilder::new(batch(300, "old")).build();
    let name = d.create("again", spec).await;
    let old = d.uid(&name).await;
    let work = Queue::Pipe(WORK.to_owned());
    until("messages in the pipe", PATIENCE, || async {
        (d.broker().depth(&work).await.unwrap().ready >= 32).then_some(())
    })
    .await;
    d.client().delete_job(&name).await.unwrap();
    let refused = d.client().get_job(&name).await.expect_err("it is gone");
    assert_eq!(refused.code(), Code::NotFound);

    let spec = headway_client::JobBuilder::new(batch(200, "new")).build();
    d.client().create_job(request("again", spec)).await.unwrap();
    assert_ne!(d.uid(&name).await, old);
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [200, 200, 0, 0]);
    let runs = record.runs();
    let new: Vec<_> = runs
        .iter()
        .filter(|(text, _)| text.contains("new"))
        .collect();
    assert_eq!(new.len(), 200);
    assert!(new.iter().all(|(_, runs)| **runs == 1));
    until("the old job's rows to be removed", PATIENCE, || async {
        let rows = d.store().rows_of(old).await.unwrap();
        rows.values().all(|rows| *rows == 0).then_some(())
    })
    .await;
}

async fn delete_of_a_running_job(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(5));
    d.worker(|worker| worker.handler(handler));
    let name = d.create("gone", range(3000, 500).build()).await;
    d.watch_until(&name, "some are done", |job| outcome_counts(job)[1] > 20)
        .await;
    d.client().delete_job(&name).await.unwrap();
    // Workers are told, so what is in the pipe is dropped and not worked off.
    until("the pipe to run dry", PATIENCE, || async {
        let work = Queue::Pipe(WORK.to_owned());
        let ready = d.broker().depth(&work).await.unwrap().ready;
        (ready == 0 && record.running() == 0).then_some(())
    })
    .await;
    assert!(record.total() < 3000);
}
