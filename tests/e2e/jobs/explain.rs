//! Why jobs do not run or end, and partitions that are suspended.

use std::time::{Duration, SystemTime};

use headway::v1::{JobReason, JobState, job_reason::Kind};
use headway_client::{Client, ClientConfig, Code, JobName};
use headway_tests::{Deployment, PATIENCE, Record, job_named, outcome_counts, range, until};
use headway_worker::{Outcome, Task, TaskError};

use crate::{
    handlers::{quick, slow},
    prerequisites::waiting::nothing_owed,
};

on_both!(
    what_keeps_a_job_from_starting,
    what_keeps_a_job_from_ending,
    what_a_job_that_ended_says,
    a_suspended_partition_stands_still,
    what_is_created_in_a_suspended_partition,
    pauses_and_retries_in_a_suspended_partition,
    partitions_that_are_none,
);

/// The reasons, by kind.
pub(crate) async fn kinds(d: &Deployment, name: &JobName) -> Vec<Kind> {
    let explained = d.client().explain_job(name).await.unwrap();
    let reasons = explained.reasons.iter();
    for reason in reasons.clone() {
        assert!(!reason.message.is_empty());
    }
    reasons.map(JobReason::kind).collect()
}

pub(crate) async fn reason(d: &Deployment, name: &JobName, kind: Kind) -> JobReason {
    let explained = d.client().explain_job(name).await.unwrap();
    let found = explained
        .reasons
        .iter()
        .find(|reason| reason.kind() == kind);
    found
        .cloned()
        .unwrap_or_else(|| panic!("{kind:?} is not among {explained:?}"))
}

/// A client that says who it is.
async fn ada(d: &Deployment) -> Client {
    let config = ClientConfig::new(format!("http://{}", d.address())).user("ada");
    Client::connect(config).await.unwrap()
}

async fn what_keeps_a_job_from_starting(d: Deployment) {
    let hour = SystemTime::now() + Duration::from_secs(3600);
    let timed = d
        .create("timed", range(5, 5).not_before_time(hour).build())
        .await;
    assert_eq!(kinds(&d, &timed).await, [Kind::StartTime]);
    let due = d.job(&timed).await.start_due_time;
    assert_eq!(reason(&d, &timed, Kind::StartTime).await.reason_time, due);
    // A delay that began when nothing else was waited for.
    let hour = Duration::from_secs(3600);
    let delayed = range(5, 5)
        .after_if_exists(job_named("nothing"))
        .start_delay(hour);
    let delayed = d.create("delayed", delayed.build()).await;
    nothing_owed(&d).await;
    assert_eq!(kinds(&d, &delayed).await, [Kind::StartTime]);
    let due = d.job(&delayed).await.start_due_time;
    assert!(due.is_some());
    assert_eq!(reason(&d, &delayed, Kind::StartTime).await.reason_time, due);
    let spec = range(5, 5)
        .after(job_named("timed"))
        .after(job_named("a"))
        .after(job_named("b"))
        .after(job_named("c"));
    let waiting = d.create("waiting", spec.build()).await;
    let needed = reason(&d, &waiting, Kind::Prerequisites).await;
    assert_eq!(needed.count, 4);
    assert!(needed.jobs.contains(&timed.to_string()), "{needed:?}");
    assert_eq!(
        needed.message,
        "it waits for a, b, c to be complete and 1 more"
    );
    ada(&d).await.pause_job(&waiting).await.unwrap();
    assert_eq!(
        kinds(&d, &waiting).await,
        [Kind::Paused, Kind::Prerequisites]
    );
    let paused = reason(&d, &waiting, Kind::Paused).await;
    assert_eq!(paused.done_by, "ada");
    assert!(paused.reason_time.is_some() && paused.message.contains("by ada"));
}

async fn what_keeps_a_job_from_ending(d: Deployment) {
    let spec = range(400, 100).max_in_flight(64);
    let name = d.create("full", spec.build()).await;
    d.watch_until(&name, "its window is full", |job| {
        let progress = job.progress.unwrap_or_default();
        progress.items_in_flight == 64
    })
    .await;
    let kinds = kinds(&d, &name).await;
    assert_eq!(
        kinds[..3],
        [Kind::NoConsumer, Kind::InFlight, Kind::WindowFull]
    );
    // RabbitMQ counts what was published with some delay.
    let lonely = until("all of them to be counted", PATIENCE, || async {
        let lonely = reason(&d, &name, Kind::NoConsumer).await;
        (lonely.count == 64).then_some(lonely)
    })
    .await;
    assert_eq!(lonely.pipe, "work");
    assert_eq!(reason(&d, &name, Kind::WindowFull).await.count, 64);
    let record = Record::default();
    let runs = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = runs.start(&task);
            async move {
                let first = task.attempt() == 1 && task.payload::<u32>()? % 100 == 7;
                drop(running);
                match first {
                    true => Err(TaskError::retryable("BUSY", "comes later")),
                    false => Ok(Outcome::done()),
                }
            }
        })
    });
    d.finish(&name, JobState::Completed).await;
    assert_eq!(record.total(), 404);
}

async fn what_a_job_that_ended_says(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let name = d.create("over", range(5, 5).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(kinds(&d, &name).await, [Kind::Ended]);
    let ended = reason(&d, &name, Kind::Ended).await;
    assert_eq!(ended.reason_time, job.end_time);
    assert_eq!(ended.message, "the job has ended: it is completed");
    let nothing = headway_tests::name("nothing");
    let error = d.client().explain_job(&nothing).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

async fn a_suspended_partition_stands_still(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(5))));
    let one = d.create("one", range(2000, 500).build()).await;
    let two = d.create("two", range(2000, 500).build()).await;
    for name in [&one, &two] {
        d.watch_until(name, "some are done", |job| outcome_counts(job)[1] > 20)
            .await;
    }
    let partition = ada(&d).await.suspend_partition("default").await.unwrap();
    assert!(partition.suspended && partition.suspended_by == "ada");
    assert_eq!(
        d.client().suspended_partitions().await.unwrap(),
        [partition]
    );
    for name in [&one, &two] {
        let job = d.job(name).await;
        assert!(job.suspended, "at once");
        assert_eq!(job.state(), JobState::Active);
        until("all that is out to be set aside", PATIENCE, || async {
            let progress = d.job(name).await.progress.unwrap_or_default();
            (progress.items_in_flight == 0).then_some(())
        })
        .await;
    }
    let ran = record.total();
    assert!(ran < 4000, "it was suspended too late to tell anything");
    assert_eq!(kinds(&d, &one).await[0], Kind::PartitionSuspended);
    let held = reason(&d, &one, Kind::PartitionSuspended).await;
    assert_eq!(held.done_by, "ada");
    assert_eq!(record.total(), ran);
    let partition = d.client().resume_partition("default").await.unwrap();
    assert!(!partition.suspended && partition.suspend_time.is_none());
    for name in [&one, &two] {
        let job = d.finish(name, JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [2000, 2000, 0, 0]);
    }
    record.assert_runs(4000);
}

async fn what_is_created_in_a_suspended_partition(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.client().suspend_partition("default").await.unwrap();
    let mut names = Vec::new();
    for n in 0..300 {
        names.push(d.create(&format!("j{n}"), range(2, 2).build()).await);
    }
    let gate = d.create("gate", range(2, 2).build()).await;
    let after = d
        .create("after", range(2, 2).after(job_named("gate")).build())
        .await;
    let cancelled = d.create("cancelled", range(2, 2).build()).await;
    d.client().cancel_job(&cancelled).await.unwrap();
    d.finish(&cancelled, JobState::Cancelled).await;
    assert!(d.job(&gate).await.suspended && d.job(&after).await.suspended);
    assert_eq!(record.total(), 0);
    d.client().resume_partition("default").await.unwrap();
    for name in names.iter().chain([&gate, &after]) {
        d.finish(name, JobState::Completed).await;
    }
    assert_eq!(record.total(), 302 * 2);
}

async fn pauses_and_retries_in_a_suspended_partition(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let hour = SystemTime::now() + Duration::from_secs(3600);
    let ended = d
        .create("ended", range(5, 5).not_before_time(hour).build())
        .await;
    d.client().cancel_job(&ended).await.unwrap();
    d.client().suspend_partition("default").await.unwrap();
    let retried = d.client().retry_job(&ended).await.unwrap();
    assert!(retried.suspended);
    let held = d.create("held", range(5, 5).build()).await;
    d.client().pause_job(&held).await.unwrap();
    let resumed = d.client().resume_job(&held).await.unwrap();
    assert!(resumed.suspended && resumed.state() == JobState::Waiting);
    d.client().pause_job(&held).await.unwrap();
    d.client().resume_partition("default").await.unwrap();
    d.finish(&ended, JobState::Completed).await;
    let held_job = d.job(&held).await;
    assert!(held_job.state() == JobState::Paused && !held_job.suspended);
    assert_eq!(record.total(), 5);
    d.client().resume_job(&held).await.unwrap();
    d.finish(&held, JobState::Completed).await;
}

async fn partitions_that_are_none(d: Deployment) {
    for name in ["", "a/b", "a.b"] {
        let error = d.client().suspend_partition(name).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{name:?}: {error}");
        assert_eq!(error.field_violations()[0].field, "name");
    }
    let unknown = d.client().get_partition("never-used").await.unwrap();
    assert!(!unknown.suspended);
}
