//! Changing what a job is to do, while it waits, runs, or has ended.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use futures::StreamExt;
use headway::v1::{
    EventKind, FailurePolicy, JobSpec, JobState, ListEventsRequest, Retention, WatchJobsRequest,
    failure_policy::{OnExceeded, Tolerance},
};
use headway_client::{Code, JobName};
use headway_tests::{Deployment, PATIENCE, Record, name, outcome_counts, range, request, until};
use headway_worker::{Outcome, Task, TaskError};

use crate::handlers::{number, quick};

on_both!(
    what_is_named_changes_and_nothing_else,
    who_watches_by_label_is_told,
    a_window_opens_and_closes,
    a_failure_policy_stops_what_runs,
    the_retention_of_what_is_over,
    updates_and_creations,
    bad_updates,
);

const ALL: [&str; 6] = [
    "spec.labels",
    "spec.description",
    "spec.priority",
    "spec.max_in_flight",
    "spec.failure_policy",
    "spec.retention",
];

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn what_is_named_changes_and_nothing_else(d: Deployment) {
    let client = d.client();
    let far = SystemTime::now() + Duration::from_secs(3600);
    let job = range(5, 5)
        .label("team", "blue")
        .label("old", "yes")
        .not_before_time(far);
    let job = d.create("job", job.description("before").build()).await;
    let before = d.job(&job).await;
    let spec = JobSpec {
        labels: labels(&[("team", "red")]),
        description: "after".to_owned(),
        priority: Some(9),
        ..JobSpec::default()
    };
    let after = client
        .update_job(&job, spec.clone(), &["spec.labels", "spec.priority"])
        .await
        .unwrap();
    assert_eq!(after.revision, before.revision + 1);
    let wanted = JobSpec {
        labels: labels(&[("team", "red")]),
        priority: Some(9),
        ..before.spec.clone().unwrap()
    };
    assert_eq!(after.spec, Some(wanted));
    assert_eq!(d.job(&job).await, after);
    // The same again changes nothing.
    let again = client.update_job(&job, spec, &["spec.labels", "spec.priority"]);
    assert_eq!(again.await.unwrap().revision, after.revision);
    // Lists find it under its new labels only.
    for (filter, found) in [
        ("labels.team = red", 1),
        ("labels.team = blue", 0),
        ("labels.old:*", 0),
    ] {
        let list = client.list_jobs(headway::v1::ListJobsRequest {
            parent: "partitions/default".to_owned(),
            filter: filter.to_owned(),
            ..Default::default()
        });
        assert_eq!(list.await.unwrap().jobs.len(), found, "{filter}");
    }
    // The log is read only below the oldest transaction of anybody on the database's server.
    let updated = until("the event", PATIENCE, async || {
        let events = client.list_events(ListEventsRequest {
            parent: job.to_string(),
            kinds: vec![EventKind::JobUpdated.into()],
            ..ListEventsRequest::default()
        });
        let events = events.await.unwrap().events;
        assert!(events.len() <= 1);
        events.into_iter().next()
    });
    assert_eq!(updated.await.message, "labels, priority");
}

/// A job whose labels change comes and goes, and one that never had them is never told of.
async fn who_watches_by_label_is_told(d: Deployment) {
    let client = d.client();
    let far = SystemTime::now() + Duration::from_secs(3600);
    let team = |team: &str| range(5, 5).label("team", team).not_before_time(far).build();
    let job = d.create("job", team("blue")).await;
    let other = d.create("other", team("green")).await;
    let mut updates = client.watch_jobs(WatchJobsRequest {
        parent: "partitions/default".to_owned(),
        filter: "labels.team = blue".to_owned(),
        ..WatchJobsRequest::default()
    });
    // The names in the updates up to one that tells of any job.
    let mut told = async || loop {
        let next = tokio::time::timeout(PATIENCE, updates.next()).await;
        let update = next.expect("an update").expect("goes on").unwrap();
        let shown: Vec<_> = update.jobs.into_iter().map(|job| job.name).collect();
        let gone: Vec<_> = update.removed.into_iter().map(|job| job.name).collect();
        if !shown.is_empty() || !gone.is_empty() {
            return (shown, gone);
        }
    };
    let relabel = async |job: &JobName, team: &str| {
        let spec = JobSpec {
            labels: labels(&[("team", team)]),
            ..JobSpec::default()
        };
        client
            .update_job(job, spec, &["spec.labels"])
            .await
            .unwrap();
    };
    let (name, nothing) = (job.to_string(), Vec::<String>::new());
    assert_eq!(told().await, (vec![name.clone()], nothing.clone()));
    client.pause_job(&other).await.unwrap();
    relabel(&job, "red").await;
    assert_eq!(told().await, (nothing.clone(), vec![name.clone()]));
    relabel(&job, "blue").await;
    assert_eq!(told().await, (vec![name], nothing.clone()));
    relabel(&other, "blue").await;
    assert_eq!(told().await, (vec![other.to_string()], nothing));
}

async fn a_window_opens_and_closes(d: Deployment) {
    let job = d
        .create("job", range(100, 100).max_in_flight(2).build())
        .await;
    let out = |job: &headway::v1::Job| job.progress.unwrap_or_default().items_in_flight;
    d.watch_until(&job, "two are out", |job| out(job) == 2)
        .await;
    let spec = JobSpec {
        max_in_flight: 50,
        ..JobSpec::default()
    };
    let wider = d.client().update_job(&job, spec, &["spec.max_in_flight"]);
    assert_eq!(out(&wider.await.unwrap()), 50);
    let spec = JobSpec {
        max_in_flight: 1,
        ..JobSpec::default()
    };
    let narrower = d.client().update_job(&job, spec, &["spec.max_in_flight"]);
    assert_eq!(out(&narrower.await.unwrap()), 50, "nothing is taken back");
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&job, JobState::Completed).await;
    record.assert_each_once(100);
}

async fn a_failure_policy_stops_what_runs(d: Deployment) {
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            match number(&task)? {
                0..10 => Err(TaskError::fatal("NO", "no")),
                _ => {
                    task.cancellation().cancelled().await;
                    Ok(Outcome::done())
                }
            }
        })
    });
    let job = d.create("job", range(100, 100).build()).await;
    d.watch_until(&job, "ten failed", |job| outcome_counts(job)[2] == 10)
        .await;
    let spec = JobSpec {
        failure_policy: Some(FailurePolicy {
            tolerance: Some(Tolerance::MaxFailedItems(9)),
            on_exceeded: OnExceeded::Stop.into(),
        }),
        ..JobSpec::default()
    };
    let stopped = d.client().update_job(&job, spec, &["spec.failure_policy"]);
    assert_eq!(stopped.await.unwrap().state(), JobState::Failed);
    d.finish(&job, JobState::Failed).await;
}

async fn the_retention_of_what_is_over(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let job = d.create("job", range(5, 5).build()).await;
    let ended = d.finish(&job, JobState::Completed).await;
    assert_eq!(ended.expire_time, None);
    let kept = |expiry: &str| JobSpec {
        retention: Some(Retention {
            completed: expiry.to_owned(),
            ..Retention::default()
        }),
        ..JobSpec::default()
    };
    let client = d.client();
    let day = client.update_job(&job, kept("end+P1D"), &["spec.retention"]);
    let end = ended.end_time.unwrap().seconds;
    assert_eq!(
        day.await.unwrap().expire_time.unwrap().seconds,
        end + 86_400
    );
    let now = client.update_job(&job, kept("end+PT0S"), &["spec.retention"]);
    now.await.unwrap();
    headway_tests::until("it to be deleted", headway_tests::PATIENCE, || async {
        let gone = client
            .get_job(&job)
            .await
            .is_err_and(|error| error.code() == Code::NotFound);
        gone.then_some(())
    })
    .await;
}

async fn updates_and_creations(d: Deployment) {
    let far = SystemTime::now() + Duration::from_secs(3600);
    let spec = || range(5, 5).not_before_time(far).build();
    let job = d.create("job", spec()).await;
    let changes = JobSpec {
        description: "other".to_owned(),
        ..JobSpec::default()
    };
    let client = d.client();
    client
        .update_job(&job, changes, &["spec.description"])
        .await
        .unwrap();
    // The same creation again finds the job as it is now.
    let again = client.create_job(request("job", spec())).await.unwrap();
    assert_eq!(again.spec.unwrap().description, "other");
}

async fn bad_updates(d: Deployment) {
    let client = d.client();
    let far = SystemTime::now() + Duration::from_secs(3600);
    let job = d
        .create("job", range(5, 5).not_before_time(far).build())
        .await;
    let wrong = JobSpec {
        labels: labels(&[("bad key", "")]),
        description: "x".repeat(4097),
        priority: Some(10),
        max_in_flight: -1,
        failure_policy: Some(FailurePolicy {
            on_exceeded: 7,
            ..FailurePolicy::default()
        }),
        retention: Some(Retention {
            failed: "soon".to_owned(),
            ..Retention::default()
        }),
        ..JobSpec::default()
    };
    for (path, field) in [
        ("spec.labels", "job.spec.labels"),
        ("spec.description", "job.spec.description"),
        ("spec.priority", "job.spec.priority"),
        ("spec.max_in_flight", "job.spec.max_in_flight"),
        ("spec.failure_policy", "job.spec.failure_policy.on_exceeded"),
        ("spec.retention", "job.spec.retention.failed"),
        ("spec.work", "update_mask"),
        ("state", "update_mask"),
    ] {
        let refused = client
            .update_job(&job, wrong.clone(), &[path])
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}: {refused}");
        let fields: Vec<_> = refused
            .field_violations()
            .iter()
            .map(|v| v.field.clone())
            .collect();
        assert_eq!(fields, [field], "{refused}");
    }
    let refused = client
        .update_job(&job, JobSpec::default(), &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = client
        .update_job(&name("none"), JobSpec::default(), &ALL)
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}
