//! A time comes while the job before is still open.

use std::time::Duration;

use headway::v1::{JobState, Schedule, schedule::OverlapPolicy};
use headway_tests::{Deployment, Record, range};

use super::{all_end, create, every_second, jobs, once, stop};
use crate::handlers::{quick, slow};

on_both!(
    a_time_is_passed_over_while_a_job_runs,
    one_job_waits_for_the_one_before,
    the_one_before_is_cancelled,
);

async fn a_time_is_passed_over_while_a_job_runs(d: Deployment) {
    create(&d, "skip", every_second(range(1, 1).build()))
        .await
        .unwrap();
    let skipped = once(&d, "skip", "times to be passed over", |schedule| {
        schedule.skip_count >= 2
    })
    .await;
    assert_eq!(skipped.job_count, 1);
    stop(&d, "skip").await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    all_end(&d, "skip").await;
    assert_eq!(jobs(&d, "skip").await.len(), 1);
}

async fn one_job_waits_for_the_one_before(d: Deployment) {
    let schedule = Schedule {
        overlap: OverlapPolicy::Queue.into(),
        ..every_second(range(1, 1).build())
    };
    create(&d, "queue", schedule).await.unwrap();
    let queued = once(&d, "queue", "times to be passed over", |schedule| {
        schedule.skip_count >= 2
    })
    .await;
    assert_eq!(queued.job_count, 2);
    stop(&d, "queue").await;
    let states: Vec<_> = jobs(&d, "queue")
        .await
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    assert_eq!(states, [JobState::Active, JobState::Waiting]);
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(20))));
    all_end(&d, "queue").await;
    assert_eq!((record.total(), record.most()), (2, 1));
}

async fn the_one_before_is_cancelled(d: Deployment) {
    let schedule = Schedule {
        overlap: OverlapPolicy::CancelPrevious.into(),
        ..every_second(range(1, 1).build())
    };
    create(&d, "newest", schedule).await.unwrap();
    once(&d, "newest", "three jobs", |schedule| {
        schedule.job_count >= 3
    })
    .await;
    stop(&d, "newest").await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    all_end(&d, "newest").await;
    let mut jobs = jobs(&d, "newest").await;
    let last = jobs.pop().expect("a job");
    assert_eq!(last.1, JobState::Completed);
    assert!(
        jobs.iter().all(|(_, state)| *state == JobState::Cancelled),
        "{jobs:?}"
    );
}
