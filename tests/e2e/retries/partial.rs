//! Running some of what failed again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::TryStreamExt;
use headway::v1::{
    Failure, FailureFilter, JobState, ListBatchesRequest, RetryJobRequest,
    failure_policy::OnExceeded,
};
use headway_client::{Code, JobName};
use headway_tests::{Deployment, WORK, outcome_counts, range};
use headway_worker::{Outcome, Task, TaskError};

use crate::{handlers::number, pipes::dead_letters::dead};

on_both!(
    some_codes_run_again,
    some_items_run_again,
    some_batches_run_again,
    what_was_discarded_runs_in_any_case,
    bad_filters,
);

/// Fails each third item with A and each third with B, until it is healed.
fn thirds(d: &Deployment) -> Arc<AtomicBool> {
    let healed = Arc::new(AtomicBool::new(false));
    let flag = healed.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let healed = flag.load(Ordering::Relaxed);
            async move {
                match number(&task)? % 3 {
                    0 if !healed => Err(TaskError::fatal("A", "first kind")),
                    1 if !healed => Err(TaskError::fatal("B", "second kind")),
                    _ => Ok(Outcome::done()),
                }
            }
        })
    });
    healed
}

pub(crate) fn retry(name: &JobName, filter: FailureFilter) -> RetryJobRequest {
    RetryJobRequest {
        name: name.to_string(),
        failure_filter: Some(filter),
        ..RetryJobRequest::default()
    }
}

pub(crate) fn codes(codes: &[&str]) -> FailureFilter {
    FailureFilter {
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        ..FailureFilter::default()
    }
}

fn items(items: &[&str]) -> FailureFilter {
    FailureFilter {
        items: items.iter().map(|item| (*item).to_owned()).collect(),
        ..FailureFilter::default()
    }
}

async fn listed(d: &Deployment, name: &JobName, filter: FailureFilter) -> Vec<Failure> {
    let failures = d.client().failures_like(name, Some(filter), 4);
    failures.try_collect().await.unwrap()
}

async fn some_codes_run_again(d: Deployment) {
    let healed = thirds(&d);
    let client = d.client();
    let name = d.create("thirds", range(30, 7).build()).await;
    let failed = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&failed), [30, 10, 20, 0]);
    assert_eq!(listed(&d, &name, codes(&["A"])).await.len(), 10);
    assert_eq!(listed(&d, &name, codes(&["A", "B"])).await.len(), 20);
    // Asking changes nothing.
    let asked = RetryJobRequest {
        validate_only: true,
        ..retry(&name, codes(&["A"]))
    };
    let would = client.retry_failures(asked).await.unwrap();
    let progress = would.progress.unwrap();
    assert_eq!((progress.items_open, progress.items_failed), (10, 10));
    assert_eq!(d.job(&name).await, failed);
    healed.store(true, Ordering::Relaxed);
    let request = retry(&name, codes(&["A"]));
    let retried = client.retry_failures(request).await.unwrap();
    assert_eq!((retried.run, retried.failure_count), (1, 10));
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [30, 20, 10, 0]);
    let left = d.failures(&name).await;
    assert_eq!(left.len(), 10);
    assert!(
        left.iter()
            .all(|failure| failure.code == "B" && failure.run == 1)
    );
    // What is not there cannot be retried.
    let refused = client.retry_failures(retry(&name, codes(&["A"]))).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(refused.reason(), Some("NOTHING_TO_RETRY"));
    assert_eq!(refused.precondition_violations().len(), 1);
    // The rest, and then there is nothing left.
    client.retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [30, 30, 0, 0]);
    let refused = client.retry_failures(retry(&name, codes(&["B"]))).await;
    assert_eq!(refused.unwrap_err().reason(), Some("ILLEGAL_TRANSITION"));
}

/// Far more pages have nothing to run again than are looked at in one transaction.
async fn some_items_run_again(d: Deployment) {
    let healed = thirds(&d);
    let name = d.create("many", range(3000, 5).build()).await;
    d.finish(&name, JobState::Failed).await;
    let failures = d.failures(&name).await;
    assert_eq!(failures.len(), 2000);
    let (first, last) = (&failures[0].item, &failures[1999].item);
    healed.store(true, Ordering::Relaxed);
    let request = retry(&name, items(&[first, last, "999999-1"]));
    d.client().retry_failures(request).await.unwrap();
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [3000, 1002, 1998, 0]);
    let left = d.failures(&name).await;
    assert!(
        left.iter()
            .all(|failure| failure.item != *first && failure.item != *last)
    );
    assert_eq!(left.len(), 1998);
    // Carried twice, and then run.
    let again = retry(&name, items(&[&left[0].item]));
    d.client().retry_failures(again).await.unwrap();
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [3000, 1003, 1997, 0]);
    d.client().retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [3000, 3000, 0, 0]);
}

async fn some_batches_run_again(d: Deployment) {
    let healed = thirds(&d);
    let list = |from: u32| (from..from + 30).collect::<Vec<_>>();
    let batch = headway_client::BatchBuilder::new("json")
        .json(&serde_json::json!([list(0), list(30)]))
        .item(WORK, "number");
    let name = d
        .create("two", headway_client::JobBuilder::new(batch).build())
        .await;
    d.finish(&name, JobState::Failed).await;
    let root = format!("{name}/batches/1");
    let children = d.client().batches(ListBatchesRequest {
        parent: name.to_string(),
        parent_batch: root.clone(),
        ..ListBatchesRequest::default()
    });
    let children: Vec<_> = children.try_collect().await.unwrap();
    assert_eq!(children.len(), 2);
    let in_batch = |name: &str| FailureFilter {
        batches: vec![name.to_owned()],
        ..FailureFilter::default()
    };
    let second = in_batch(&children[1].name);
    assert_eq!(listed(&d, &name, second.clone()).await.len(), 20);
    healed.store(true, Ordering::Relaxed);
    d.client()
        .retry_failures(retry(&name, second.clone()))
        .await
        .unwrap();
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [60, 40, 20, 0]);
    assert!(listed(&d, &name, second).await.is_empty());
    // All of the root is all.
    let all = retry(&name, in_batch(&root));
    d.client().retry_failures(all).await.unwrap();
    d.finish(&name, JobState::Completed).await;
}

async fn what_was_discarded_runs_in_any_case(d: Deployment) {
    let healed = thirds(&d);
    let spec = range(300, 100)
        .max_in_flight(4)
        .on_exceeded(OnExceeded::Stop);
    let name = d.create("stopped", spec.build()).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert!(outcome_counts(&job)[2] < 10, "{job:?}");
    healed.store(true, Ordering::Relaxed);
    // No failure is like that, but most of it never ran; what failed stays, and stops it at once.
    let request = retry(&name, codes(&["C"]));
    d.client().retry_failures(request).await.unwrap();
    let job = d.finish(&name, JobState::Failed).await;
    assert!(outcome_counts(&job)[2] > 0);
    d.client()
        .retry_failures(retry(&name, codes(&["A", "B"])))
        .await
        .unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [300, 300, 0, 0]);
}

async fn bad_filters(d: Deployment) {
    thirds(&d);
    let name = d.create("job", range(6, 6).build()).await;
    d.finish(&name, JobState::Failed).await;
    let batches = |batch: &str| FailureFilter {
        batches: vec![batch.to_owned()],
        ..FailureFilter::default()
    };
    let many: Vec<&str> = std::iter::repeat_n("1-1", 1001).collect();
    for (filter, field) in [
        (codes(&[""]), "failure_filter.codes"),
        (codes(&[&"x".repeat(129)]), "failure_filter.codes"),
        (items(&["one"]), "failure_filter.items"),
        (items(&["1-2-3"]), "failure_filter.items"),
        (items(&many), "failure_filter.items"),
        (batches("2"), "failure_filter.batches"),
        (
            batches("partitions/default/jobs/other/batches/1"),
            "failure_filter.batches",
        ),
        (
            batches("partitions/default/jobs/job"),
            "failure_filter.batches",
        ),
    ] {
        let refused = d
            .client()
            .retry_failures(retry(&name, filter.clone()))
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        let fields: Vec<_> = refused
            .field_violations()
            .iter()
            .map(|v| v.field.clone())
            .collect();
        assert_eq!(fields, [field], "{refused}");
        let failures = d.client().failures_like(&name, Some(filter), 4);
        let refused = failures.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    for request in [dead("/pipes/a b"), dead("/jobs/a/b")] {
        let letters = d.client().dead_letters(request);
        let refused = letters.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
}
