//! Quotas of a partition: open jobs, and items in flight.

use std::time::Duration;

use headway::v1::{JobState, Partition};
use headway_client::{Code, JobName};
use headway_tests::{Deployment, Record, range, request};

use super::of;
use crate::{
    handlers::{quick, slow},
    pipes::limits::until_known,
};

on_both!(
    no_more_open_jobs_than_the_quota,
    no_more_in_flight_than_the_quota,
);

async fn no_more_open_jobs_than_the_quota(d: Deployment) {
    let client = d.client();
    let partition = Partition {
        name: "partitions/default".to_owned(),
        max_open_jobs: 2,
        ..Partition::default()
    };
    client
        .update_partition(partition, &["max_open_jobs"])
        .await
        .unwrap();
    let first = d.create("first", range(5, 5).build()).await;
    d.create("second", range(5, 5).build()).await;
    let third = request("third", range(5, 5).build());
    let refused = client.create_job(third.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(refused.reason(), Some("QUOTA_EXCEEDED"));
    let subjects = refused.quota_violations().iter();
    let subjects: Vec<_> = subjects
        .map(|violation| violation.subject.as_str())
        .collect();
    assert_eq!(subjects, ["partitions/default"]);
    // One that exists is no new one, and another partition has no quota.
    d.create("second", range(5, 5).build()).await;
    client
        .create_job(of("other", "third", range(5, 5).build()))
        .await
        .unwrap();
    d.client().cancel_job(&first).await.unwrap();
    client.create_job(third).await.unwrap();
    // Many at once are no more either.
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    for id in ["second", "third"] {
        d.finish(&headway_tests::name(id), JobState::Completed)
            .await;
    }
    d.finish(
        &JobName::new("other", "third").unwrap(),
        JobState::Completed,
    )
    .await;
    let entries: Vec<_> = (0..20)
        .map(|n| headway::v1::BatchCreateJobsEntry {
            job_id: format!("j{n}"),
            spec: Some(range(5, 5).not_before_time(far()).build()),
            ..Default::default()
        })
        .collect();
    let results = client.create_jobs("default", entries).await.unwrap();
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 2);
}

async fn no_more_in_flight_than_the_quota(d: Deployment) {
    let client = d.client();
    let partition = Partition {
        name: "partitions/default".to_owned(),
        max_items_in_flight: 10,
        ..Partition::default()
    };
    let paths = ["max_items_in_flight"];
    client.update_partition(partition, &paths).await.unwrap();
    until_known(&d).await;
    let job = d.create("job", range(50, 50).build()).await;
    let out = |job: &headway::v1::Job| job.progress.unwrap_or_default().items_in_flight;
    d.watch_until(&job, "it has all it may have", |job| out(job) == 10)
        .await;
    let refused = client
        .create_job(request("more", range(5, 5).build()))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(refused.reason(), Some("QUOTA_EXCEEDED"));
    let record = Record::default();
    d.worker(|worker| {
        worker
            .concurrency(50)
            .handler(slow(&record, Duration::from_millis(20)))
    });
    d.finish(&job, JobState::Completed).await;
    record.assert_each_once(50);
    assert!(record.most() <= 10, "{} at once", record.most());
}

fn far() -> std::time::SystemTime {
    std::time::SystemTime::now() + Duration::from_secs(3600)
}
