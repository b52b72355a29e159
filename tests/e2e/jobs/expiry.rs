//! Jobs that are deleted some time after they are over.

use std::time::Duration;

use headway::v1::{
    BatchCreateJobsEntry, ChangeJobsRequest, JobAction, JobSpec, JobState, Retention,
};
use headway_client::{Code, JobBuilder, JobName};
use headway_tests::{
    Deployment, PATIENCE, Record, job_named, outcome_counts, range, request, until,
};
use headway_worker::{Outcome, Task, TaskError};

use crate::handlers::{number, quick, slow};

on_both!(
    jobs_go_when_their_time_is_over,
    each_way_to_end_has_its_own,
    many_go_while_others_run,
    a_partition_says_it_for_its_jobs,
    a_retry_keeps_a_job,
    what_waits_for_a_job_that_is_gone,
    bad_retentions,
);

async fn gone(d: &Deployment, name: &JobName) {
    until("the job to be deleted", PATIENCE, || async {
        match d.client().get_job(name).await {
            Err(error) if error.code() == Code::NotFound => Some(()),
            _ => None,
        }
    })
    .await;
}

fn seconds(time: Option<prost_types::Timestamp>) -> i64 {
    time.expect("is set").seconds
}

async fn jobs_go_when_their_time_is_over(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let soon = d
        .create("soon", range(3, 3).retention("end+PT1S").build())
        .await;
    let week = d
        .create("week", range(3, 3).retention("create+P7D").build())
        .await;
    let past = range(3, 3).retention("1970-01-01T00:00:00Z");
    let never = d
        .create("never", range(3, 3).retention("none").build())
        .await;
    let kept = d.create("kept", range(3, 3).build()).await;
    d.create("past", past.build()).await;
    gone(&d, &soon).await;
    gone(&d, &headway_tests::name("past")).await;
    let week = d.finish(&week, JobState::Completed).await;
    let days = (seconds(week.expire_time) - seconds(week.create_time)) / (24 * 3600);
    assert_eq!(days, 7);
    for name in [&never, &kept] {
        let job = d.finish(name, JobState::Completed).await;
        assert_eq!(job.expire_time, None);
    }
    let deleted = headway::v1::ListEventsRequest {
        parent: "partitions/default/jobs/soon".to_owned(),
        kinds: vec![headway::v1::EventKind::JobDeleted.into()],
        ..headway::v1::ListEventsRequest::default()
    };
    let event = until("the log to tell of it", PATIENCE, || async {
        let log = d.client().list_events(deleted.clone()).await.unwrap();
        log.events.into_iter().next()
    })
    .await;
    assert_eq!(event.done_by, "headway");
}

async fn each_way_to_end_has_its_own(d: Deployment) {
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            match number(&task)? {
                0 => Ok(Outcome::done()),
                _ => Err(TaskError::fatal("NO", "no")),
            }
        })
    });
    let retention = Retention {
        completed: "end+PT1H".to_owned(),
        failed: "end+P2D".to_owned(),
        cancelled: "end+P1W".to_owned(),
    };
    let kept = |spec: JobBuilder| JobSpec {
        retention: Some(retention.clone()),
        ..spec.build()
    };
    let completed = d.create("completed", kept(range(1, 1))).await;
    let failed = d.create("failed", kept(range(2, 2))).await;
    let cancelled = d
        .create("cancelled", kept(range(1, 1).after(job_named("never"))))
        .await;
    d.client().cancel_job(&cancelled).await.unwrap();
    for (name, state, hours) in [
        (completed, JobState::Completed, 1),
        (failed, JobState::Failed, 48),
        (cancelled, JobState::Cancelled, 7 * 24),
    ] {
        let job = d.finish(&name, state).await;
        let kept = seconds(job.expire_time) - seconds(job.end_time);
        assert_eq!(kept, hours * 3600, "{name}");
    }
}

/// More jobs go than one round of deletions takes, and what runs runs.
async fn many_go_while_others_run(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(2))));
    let running = d.create("running", range(2000, 500).build()).await;
    let over = |n: usize| BatchCreateJobsEntry {
        job_id: format!("over{n}"),
        spec: Some(
            range(1, 1)
                .after(job_named("never"))
                .retention("end+PT0S")
                .build(),
        ),
        ..BatchCreateJobsEntry::default()
    };
    let made = d
        .client()
        .create_jobs("default", (0..350).map(over).collect());
    assert!(made.await.unwrap().iter().all(Result::is_ok));
    let all = ChangeJobsRequest {
        action: JobAction::Cancel.into(),
        parent: "partitions/default".to_owned(),
        filter: "id = over*".to_owned(),
        job_id: "sweep".to_owned(),
        ..ChangeJobsRequest::default()
    };
    let change = d.client().change_jobs(all).await;
    assert_eq!(change.unwrap().matching_job_count, 350);
    until("all of them to be gone", PATIENCE, || async {
        let left = d.client().count_jobs_like("default", "id = over*");
        let left = left.await.unwrap();
        left.iter().all(|count| count.job_count == 0).then_some(())
    })
    .await;
    let job = d.finish(&running, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [2000, 2000, 0, 0]);
    record.assert_each_once(2000);
    d.finish(&headway_tests::name("sweep"), JobState::Completed)
        .await;
}

async fn a_partition_says_it_for_its_jobs(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let before = d.create("before", range(1, 1).build()).await;
    let retention = Retention {
        completed: "end+PT1S".to_owned(),
        cancelled: "end+P1D".to_owned(),
        ..Retention::default()
    };
    let partition = d
        .client()
        .set_retention("default", retention.clone())
        .await
        .unwrap();
    assert_eq!(partition.retention, Some(retention));
    let goes = d.create("goes", range(1, 1).build()).await;
    let own = d.create("own", range(1, 1).retention("none").build()).await;
    // Its default is no part of what a client asked for.
    d.create("goes-not", range(1, 1).after(job_named("never")).build())
        .await;
    d.create("goes-not", range(1, 1).after(job_named("never")).build())
        .await;
    gone(&d, &goes).await;
    for name in [&before, &own] {
        assert_eq!(d.finish(name, JobState::Completed).await.expire_time, None);
    }
    let waiting = headway_tests::name("goes-not");
    d.client().cancel_job(&waiting).await.unwrap();
    let job = d.finish(&waiting, JobState::Cancelled).await;
    assert_eq!(seconds(job.expire_time) - seconds(job.end_time), 24 * 3600);
}

async fn a_retry_keeps_a_job(d: Deployment) {
    let record = Record::default();
    let spec = range(3, 3).after(job_named("never")).retention("end+PT1H");
    let name = d.create("kept", spec.build()).await;
    d.client().cancel_job(&name).await.unwrap();
    let cancelled = d.finish(&name, JobState::Cancelled).await;
    assert!(cancelled.expire_time.is_some());
    let retried = d.client().retry_job(&name).await.unwrap();
    assert_eq!(retried.expire_time, None);
    d.worker(|worker| worker.handler(quick(&record)));
    d.create("never", range(1, 1).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(seconds(job.expire_time) - seconds(job.end_time), 3600);
}

async fn what_waits_for_a_job_that_is_gone(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let first = d
        .create("first", range(1, 1).retention("end+PT0S").build())
        .await;
    gone(&d, &first).await;
    let second = d
        .create("second", range(1, 1).after(job_named("first")).build())
        .await;
    d.finish(&second, JobState::Completed).await;
}

async fn bad_retentions(d: Deployment) {
    let bad = d
        .client()
        .create_job(request("bad", range(1, 1).retention("soon").build()))
        .await;
    let error = bad.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let fields: Vec<_> = error
        .field_violations()
        .iter()
        .map(|one| one.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "spec.retention.completed",
            "spec.retention.failed",
            "spec.retention.cancelled"
        ]
    );
    assert!(
        error.field_violations()[0].description.contains("end+P7D"),
        "{error}"
    );
    let retention = Retention {
        failed: "P7D".to_owned(),
        ..Retention::default()
    };
    let error = d
        .client()
        .set_retention("default", retention)
        .await
        .unwrap_err();
    assert_eq!(
        error.field_violations()[0].field,
        "partition.retention.failed"
    );
    let far = d
        .create(
            "far",
            range(1, 1)
                .after(job_named("never"))
                .retention("end+P9000Y")
                .build(),
        )
        .await;
    d.client().cancel_job(&far).await.unwrap();
    let job = d.finish(&far, JobState::Cancelled).await;
    assert_eq!(job.expire_time, None, "beyond the calendar is never");
}
