//! Who gets how much of a pipe: priorities, weights of partitions, limits of pipes and quotas.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use headway::v1::{CreateJobRequest, JobSpec, JobState, Partition};
use headway_client::{Code, JobName, create_request};
use headway_tests::{Deployment, PATIENCE, Record, WORK, outcome_counts, range, request, until};
use headway_worker::{Outcome, Task, TaskError};

use crate::handlers::{quick, slow};

on_both!(
    the_important_go_first,
    what_becomes_important_goes_first,
    partitions_share_by_weight,
    no_more_in_flight_than_the_limit,
    no_more_per_second_than_the_limit,
    limits_come_and_go,
    limits_are_read_and_listed,
    no_more_open_jobs_than_the_quota,
    no_more_in_flight_than_the_quota,
    bad_numbers,
);

/// The jobs of the items that ran, in their order.
#[derive(Debug, Clone, Default)]
struct Order(Arc<Mutex<Vec<String>>>);

impl Order {
    fn handler(
        &self,
        time: Duration,
    ) -> impl Fn(Task) -> futures::future::BoxFuture<'static, Result<Outcome, TaskError>>
    + Send
    + Sync
    + 'static
    + use<> {
        let order = self.clone();
        move |task: Task| {
            order.0.lock().unwrap().push(task.job().to_owned());
            Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(Outcome::done())
            })
        }
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn jobs(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn of(partition: &str, id: &str, spec: JobSpec) -> CreateJobRequest {
    CreateJobRequest {
        job_id: id.to_owned(),
        ..create_request(partition, spec)
    }
}

async fn weigh(d: &Deployment, partition: &str, weight: i32) {
    let partition = Partition {
        name: format!("partitions/{partition}"),
        weight,
        ..Partition::default()
    };
    let set = d.client().update_partition(partition, &["weight"]).await;
    assert_eq!(set.unwrap().weight, weight);
}

async fn the_important_go_first(d: Deployment) {
    let order = Order::default();
    d.worker(|worker| {
        worker
            .concurrency(4)
            .handler(order.handler(Duration::from_millis(4)))
    });
    let many = d
        .create("many", range(100_000, 1000).priority(1).build())
        .await;
    until("a rate to be measured", PATIENCE, || async {
        (order.len() > 1500).then_some(())
    })
    .await;
    let urgent = range(2500, 500).priority(9).build();
    let urgent = d.create("urgent", urgent).await;
    d.finish(&urgent, JobState::Completed).await;
    d.client().cancel_job(&many).await.unwrap();
    d.finish(&many, JobState::Cancelled).await;
    let jobs = order.jobs();
    let name = urgent.to_string();
    let first = jobs.iter().position(|job| *job == name).unwrap();
    let last = jobs.iter().rposition(|job| *job == name).unwrap();
    let among = &jobs[first..=last];
    let others = among.iter().filter(|job| **job != name).count();
    // What was sent before, about half a second of it, still stands before.
    assert!(others < 1250, "{others} items of another job among 2500");
}

async fn what_becomes_important_goes_first(d: Deployment) {
    let order = Order::default();
    d.worker(|worker| {
        worker
            .concurrency(4)
            .handler(order.handler(Duration::from_millis(4)))
    });
    let one = d.create("one", range(100_000, 1000).build()).await;
    let other = d.create("other", range(100_000, 1000).build()).await;
    until("a rate to be measured", PATIENCE, || async {
        (order.len() > 1500).then_some(())
    })
    .await;
    let client = d.client();
    let urgent = JobSpec {
        priority: Some(9),
        ..JobSpec::default()
    };
    let update = client.update_job(&other, urgent, &["spec.priority"]);
    update.await.unwrap();
    let from = order.len();
    until("enough to count", PATIENCE, || async {
        (order.len() > from + 3000).then_some(())
    })
    .await;
    // What was sent before, about half a second of it, still stands before.
    let jobs = &order.jobs()[from + 1000..from + 3000];
    let first = one.to_string();
    let others = jobs.iter().filter(|job| **job == first).count();
    assert!(others < 200, "{others} items of the other job among 2000");
    for name in [&one, &other] {
        client.cancel_job(name).await.unwrap();
        d.finish(name, JobState::Cancelled).await;
    }
}

async fn partitions_share_by_weight(d: Deployment) {
    let order = Order::default();
    d.worker(|worker| {
        worker
            .concurrency(4)
            .handler(order.handler(Duration::from_millis(4)))
    });
    weigh(&d, "heavy", 3).await;
    let client = d.client();
    for (partition, id) in [
        ("heavy", "a"),
        ("heavy", "b"),
        ("light", "c"),
        ("default", "d"),
    ] {
        let request = of(partition, id, range(100_000, 1000).build());
        client.create_job(request).await.unwrap();
    }
    until("shares to settle", PATIENCE, || async {
        (order.len() > 3000).then_some(())
    })
    .await;
    let from = order.len();
    until("enough to count", PATIENCE, || async {
        (order.len() > from + 4000).then_some(())
    })
    .await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for job in &order.jobs()[from..from + 4000] {
        *counts.entry(job.clone()).or_default() += 1;
    }
    for (partition, id, fair) in [
        ("heavy", "a", 1200.0),
        ("heavy", "b", 1200.0),
        ("light", "c", 800.0),
        ("default", "d", 800.0),
    ] {
        let name = JobName::new(partition, id).unwrap();
        let count = counts.get(&name.to_string()).copied().unwrap_or(0) as f64;
        let off = (count - fair).abs() / fair;
        assert!(off <= 0.1, "{name} got {count} of {fair}: {counts:?}");
        client.cancel_job(&name).await.unwrap();
        d.finish(&name, JobState::Cancelled).await;
    }
}

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

/// A job whose work goes out as soon as it may.
fn task() -> JobSpec {
    headway_client::JobBuilder::new(headway_client::TaskBuilder::new(WORK, "probe")).build()
}

/// Waits until the server has heard of limits that were set before: then new jobs send nothing before it was shared out.
async fn until_known(d: &Deployment) {
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

fn far() -> std::time::SystemTime {
    std::time::SystemTime::now() + Duration::from_secs(3600)
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
