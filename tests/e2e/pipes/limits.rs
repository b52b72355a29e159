//! Limits of pipes, and numbers that no limit, weight or priority can be.

use std::time::{Duration, Instant};

use headway::v1::{JobSpec, JobState, Partition};
use headway_client::{Code, JobName};
use headway_tests::{Deployment, PATIENCE, Record, WORK, outcome_counts, range, request, until};

use crate::handlers::{quick, slow};

on_both!(
    no_more_in_flight_than_the_limit,
    no_more_per_second_than_the_limit,
    limits_come_and_go,
    limits_are_read_and_listed,
    bad_numbers,
);

async fn no_more_in_flight_than_the_limit(d: Deployment) {
    let record = Record::default();
    d.client().limit_pipe(WORK, 5, 0.0).await.unwrap();
    until_known(&d).await;
    d.worker(|worker| {
        worker
            .concurrency(50)
            .handler(slow(&record, Duration::from_millis(20)))
    });
    let mut jobs = Vec::new();
    for (id, from) in [("a", 0), ("b", 1000), ("c", 2000)] {
        let numbers = headway_client::BatchBuilder::new("range")
            .json(&serde_json::json!({"from": from, "to": from + 60, "page": 20}))
            .item(WORK, "number");
        jobs.push(
            d.create(id, headway_client::JobBuilder::new(numbers).build())
                .await,
        );
    }
    d.watch_until(&jobs[0], "it runs", |job| outcome_counts(job)[1] > 5)
        .await;
    d.client().pause_job(&jobs[0]).await.unwrap();
    until("some of another to run", PATIENCE, || async {
        (outcome_counts(&d.job(&jobs[1]).await)[1] > 20).then_some(())
    })
    .await;
    d.client().resume_job(&jobs[0]).await.unwrap();
    for job in &jobs {
        d.finish(job, JobState::Completed).await;
    }
    record.assert_runs(180);
    assert!(record.most() <= 5, "{} at once", record.most());
    assert!(record.most() >= 4, "{} at once", record.most());
}

async fn no_more_per_second_than_the_limit(d: Deployment) {
    let record = Record::default();
    d.client().limit_pipe(WORK, 0, 50.0).await.unwrap();
    until_known(&d).await;
    d.worker(|worker| worker.handler(quick(&record)));
    let from = Instant::now();
    let first = d.create("first", range(100, 50).build()).await;
    let second = d.create("second", range(100, 50).build()).await;
    d.finish(&first, JobState::Completed).await;
    d.finish(&second, JobState::Completed).await;
    record.assert_runs(200);
    let took = from.elapsed().as_secs_f64();
    assert!((3.6..12.0).contains(&took), "200 items took {took} s");
}

async fn limits_come_and_go(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(2))));
    let job = d.create("job", range(1_000_000, 1000).build()).await;
    until("it to run", PATIENCE, || async {
        (record.total() > 500).then_some(())
    })
    .await;
    let client = d.client();
    client.limit_pipe(WORK, 3, 0.0).await.unwrap();
    let few = |job: &headway::v1::Job| job.progress.unwrap_or_default().items_in_flight <= 3;
    d.watch_until(&job, "few are out", few).await;
    client.limit_pipe(WORK, 0, 0.0).await.unwrap();
    let many = |job: &headway::v1::Job| job.progress.unwrap_or_default().items_in_flight > 100;
    d.watch_until(&job, "many are out again", many).await;
    client.cancel_job(&job).await.unwrap();
    d.finish(&job, JobState::Cancelled).await;
}

async fn limits_are_read_and_listed(d: Deployment) {
    let client = d.client();
    assert!(client.all_pipe_limits().await.unwrap().is_empty());
    let set = client.limit_pipe("b", 0, 2.5).await.unwrap();
    assert_eq!(
        (set.name.as_str(), set.max_in_flight, set.max_per_second),
        ("pipes/b/limits", 0, 2.5)
    );
    client.limit_pipe("a", 7, 0.0).await.unwrap();
    assert_eq!(client.pipe_limits("b").await.unwrap(), set);
    let all = client.all_pipe_limits().await.unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|of| (of.name.as_str(), of.max_in_flight))
        .collect();
    assert_eq!(all, [("pipes/a/limits", 7), ("pipes/b/limits", 0)]);
    client.limit_pipe("a", 0, 0.0).await.unwrap();
    assert_eq!(client.all_pipe_limits().await.unwrap().len(), 1);
    assert_eq!(client.pipe_limits("a").await.unwrap().max_in_flight, 0);
}

async fn bad_numbers(d: Deployment) {
    let client = d.client();
    let refused = |field: &'static str, error: headway_client::Error| {
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let fields: Vec<_> = error
            .field_violations()
            .iter()
            .map(|v| v.field.clone())
            .collect();
        assert_eq!(fields, [field], "{error}");
    };
    for priority in [-1, 10] {
        let job = request("job", range(5, 5).priority(priority).build());
        refused("spec.priority", client.create_job(job).await.unwrap_err());
    }
    for (in_flight, per_second, field) in [
        (-1, 0.0, "pipe_limits.max_in_flight"),
        (10_000_001, 0.0, "pipe_limits.max_in_flight"),
        (0, -1.0, "pipe_limits.max_per_second"),
        (0, f64::NAN, "pipe_limits.max_per_second"),
        (0, f64::INFINITY, "pipe_limits.max_per_second"),
    ] {
        let set = client.limit_pipe("p", in_flight, per_second).await;
        refused(field, set.unwrap_err());
    }
    for pipe in ["", "headway.jobs", "a b"] {
        refused(
            "pipe_limits.name",
            client.limit_pipe(pipe, 1, 0.0).await.unwrap_err(),
        );
        refused("name", client.pipe_limits(pipe).await.unwrap_err());
    }
    for (weight, open, field) in [
        (1001, 0, "partition.weight"),
        (-1, 0, "partition.weight"),
        (1, -1, "partition.max_open_jobs"),
        (1, 1_000_000_001, "partition.max_open_jobs"),
    ] {
        let partition = Partition {
            name: "partitions/default".to_owned(),
            weight,
            max_open_jobs: open,
            ..Partition::default()
        };
        let set = client.update_partition(partition, &["weight", "max_open_jobs"]);
        refused(field, set.await.unwrap_err());
    }
    let partition = Partition {
        name: "partitions/default".to_owned(),
        ..Partition::default()
    };
    let set = client.update_partition(partition, &["suspended"]).await;
    refused("update_mask", set.unwrap_err());
}

/// A job whose work goes out as soon as it may.
fn task() -> JobSpec {
    headway_client::JobBuilder::new(headway_client::TaskBuilder::new(WORK, "probe")).build()
}

/// Waits until the server has heard of limits that were set before: then new jobs send nothing
/// before it was shared out.
pub(crate) async fn until_known(d: &Deployment) {
    until("the limits to be known", PATIENCE, || async {
        let probe = d.client().create_job(request("", task()));
        let probe = probe.await.unwrap();
        let held = probe.state() == JobState::Waiting;
        let name: JobName = probe.name.parse().unwrap();
        d.client().cancel_job(&name).await.unwrap();
        held.then_some(())
    })
    .await;
}
