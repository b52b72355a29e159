//! Jobs that wait for their time, and deadlines.

use std::time::{Duration, SystemTime};

use headway::v1::JobState;
use headway_tests::{Deployment, Record, job_named, range};
use headway_worker::{Outcome, Task, TaskError};

use crate::{
    handlers::quick,
    prerequisites::waiting::{seconds_between, small, stuck},
};

on_both!(
    delays_begin_when_nothing_else_is_waited_for,
    a_time_to_start,
    a_deadline_ends_what_runs,
    a_deadline_ends_what_waits,
    deadlines_of_retries,
);

async fn delays_begin_when_nothing_else_is_waited_for(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let delay = Duration::from_millis(700);
    let alone = d.create("alone", small().start_delay(delay).build()).await;
    let gate = d.create("gate", small().start_delay(delay).build()).await;
    let spec = small().after(job_named("gate")).start_delay(delay);
    let after = d.create("after", spec.build()).await;
    let alone = d.finish(&alone, JobState::Completed).await;
    let late = seconds_between(&alone.create_time, &alone.start_time) - 0.7;
    assert!((0.0..1.0).contains(&late), "it started {late} s late");
    let gate = d.finish(&gate, JobState::Completed).await;
    let after = d.finish(&after, JobState::Completed).await;
    let late = seconds_between(&gate.end_time, &after.start_time) - 0.7;
    assert!((0.0..1.0).contains(&late), "it started {late} s late");
}

async fn a_time_to_start(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let time = SystemTime::now() + Duration::from_millis(600);
    let timed = d
        .create("timed", small().not_before_time(time).build())
        .await;
    let waiting = d.job(&timed).await;
    assert_eq!(waiting.state(), JobState::Waiting);
    let due = waiting.start_due_time;
    let timed = d.finish(&timed, JobState::Completed).await;
    let late = seconds_between(&due, &timed.start_time);
    assert!((0.0..1.0).contains(&late), "it started {late} s late");
    let past = d
        .create(
            "past",
            small().not_before_time(SystemTime::UNIX_EPOCH).build(),
        )
        .await;
    d.finish(&past, JobState::Completed).await;
}

async fn a_deadline_ends_what_runs(d: Deployment) {
    let record = Record::default();
    let running = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = running.start(&task);
            async move {
                task.cancellation().cancelled().await;
                drop(running);
                Err::<Outcome, _>(TaskError::fatal("STOPPED", "was told to stop"))
            }
        })
    });
    let spec = range(40, 40).max_duration(Duration::from_millis(500));
    let late = d.create("late", spec.build()).await;
    let job = d.finish(&late, JobState::Failed).await;
    let over = seconds_between(&job.start_time, &job.end_time) - 0.5;
    assert!(
        (0.0..1.0).contains(&over),
        "it ended {over} s after its deadline"
    );
    // Handlers that run are told; all that was out has come back.
    assert_eq!(record.running(), 0);
    let failures = d.failures(&late).await;
    assert_eq!(failures[0].code, "DEADLINE_EXCEEDED");
    assert!(
        failures[0].message.ends_with("40 items were open"),
        "{}",
        failures[0].message
    );
    // A run has the same time again.
    d.client().retry_job(&late).await.unwrap();
    let job = d.finish(&late, JobState::Failed).await;
    assert_eq!(job.run, 1);
}

async fn a_deadline_ends_what_waits(d: Deployment) {
    let soon = SystemTime::now() + Duration::from_millis(300);
    let spec = small().after(job_named("never")).deadline_time(soon);
    let waiting = d.create("waiting", spec.build()).await;
    d.finish(&waiting, JobState::Failed).await;
    assert_eq!(d.failures(&waiting).await[0].code, "DEADLINE_EXCEEDED");
}

async fn deadlines_of_retries(d: Deployment) {
    let root = d.create("root", stuck().build()).await;
    let span = Duration::from_millis(300);
    let spec = small().after(job_named("root")).max_duration(span).build();
    let bounded = d.create("bounded", spec).await;
    d.client().cancel_job(&root).await.unwrap();
    d.finish(&bounded, JobState::Failed).await;
    d.finish(&root, JobState::Cancelled).await;
    d.client().retry_job_with_dependents(&root).await.unwrap();
    // A time that is to come holds for the retry too.
    let soon = SystemTime::now() + Duration::from_secs(1);
    let spec = small()
        .after(job_named("never"))
        .deadline_time(soon)
        .build();
    let timed = d.create("timed", spec).await;
    d.client().cancel_job(&timed).await.unwrap();
    d.client().retry_job(&timed).await.unwrap();
    let late = d.finish(&timed, JobState::Failed).await;
    assert_eq!(late.run, 1);
    assert_eq!(d.failures(&timed).await[0].code, "DEADLINE_EXCEEDED");
    // One that has passed does not.
    let again = d.client().retry_job(&timed).await.unwrap();
    assert_eq!((again.state(), again.run), (JobState::Waiting, 2));
    // What waited for longer than it may run did not run.
    let job = d.job(&bounded).await;
    assert_eq!((job.state(), job.run), (JobState::Waiting, 1));
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&bounded, JobState::Completed).await;
    assert_eq!(d.job(&timed).await.state(), JobState::Waiting);
}
