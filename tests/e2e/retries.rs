//! Running some of what failed again, and dead letters.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::TryStreamExt;
use headway::v1::{
    DropDeadLettersRequest, Failure, FailureFilter, JobState, ListBatchesRequest,
    ListDeadLettersRequest, RetryJobRequest, failure_policy::OnExceeded,
};
use headway_broker::Queue;
use headway_cli::ExitStatus;
use headway_client::{Code, JobName};
use headway_tests::{Deployment, Record, WORK, numbers, outcome_counts, range};
use headway_worker::{Outcome, Task, TaskError};

use crate::{command_line::headway, failures::kill_messages, handlers::number, handlers::quick};

on_both!(
    some_codes_run_again,
    some_items_run_again,
    some_batches_run_again,
    what_was_discarded_runs_in_any_case,
    dead_letters_are_looked_at,
    dead_letters_are_dropped,
    by_command_line,
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

fn retry(name: &JobName, filter: FailureFilter) -> RetryJobRequest {
    RetryJobRequest {
        name: name.to_string(),
        failure_filter: Some(filter),
        ..RetryJobRequest::default()
    }
}

fn codes(codes: &[&str]) -> FailureFilter {
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
        parent: root.clone(),
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

/// The dead letters of the partition, or of what is below it, such as `/jobs/first`.
fn dead(below: &str) -> ListDeadLettersRequest {
    ListDeadLettersRequest {
        parent: format!("partitions/default{below}"),
        page_size: 2,
        ..ListDeadLettersRequest::default()
    }
}

/// Two jobs, the messages of which the pipe gave up in part.
async fn two_with_dead_letters(d: &Deployment) -> Record {
    let batch = numbers(6, 6).item_header("lang", "en");
    let spec = headway_client::JobBuilder::new(batch);
    let spec = spec.items_per_message(2).build();
    d.create("first", spec.clone()).await;
    kill_messages(d, &Queue::Pipe(WORK.to_owned()), 2).await;
    d.create("second", spec).await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&headway_tests::name("first"), JobState::Failed)
        .await;
    d.finish(&headway_tests::name("second"), JobState::Completed)
        .await;
    record
}

async fn dead_letters_are_looked_at(d: Deployment) {
    let record = two_with_dead_letters(&d).await;
    let letters = async |request| {
        let letters: Vec<_> = d
            .client()
            .dead_letters(request)
            .try_collect()
            .await
            .unwrap();
        letters
    };
    let all = letters(dead("")).await;
    assert_eq!(all.len(), 4);
    assert!(
        all.iter()
            .all(|letter| letter.job == "partitions/default/jobs/first")
    );
    let failure = all[0].failure.clone().unwrap();
    assert_eq!(
        (failure.code.as_str(), all[0].pipe.as_str()),
        ("DEAD_LETTERED", WORK)
    );
    let details: serde_json::Value = serde_json::from_str(&failure.details).unwrap();
    assert_eq!(
        (&details["type"], &details["headers"]["lang"]),
        (&"number".into(), &"en".into())
    );
    assert_eq!(
        (&details["bytes"], &details["text"]),
        (&1.into(), &"0".into())
    );
    let work = format!("/pipes/{WORK}");
    assert_eq!(letters(dead(&work)).await.len(), 4);
    assert_eq!(letters(dead("/jobs/first")).await.len(), 4);
    assert!(letters(dead("/pipes/other")).await.is_empty());
    assert!(letters(dead("/jobs/second")).await.is_empty());
    let other = ListDeadLettersRequest {
        parent: "partitions/other".to_owned(),
        ..dead("")
    };
    assert!(letters(other).await.is_empty());
    // Sent to their pipe again, they are none any more.
    let first = headway_tests::name("first");
    let again = retry(&first, codes(&["DEAD_LETTERED"]));
    d.client().retry_failures(again).await.unwrap();
    d.finish(&first, JobState::Completed).await;
    assert!(letters(dead("")).await.is_empty());
    assert_eq!(record.total(), 12);
}

async fn dead_letters_are_dropped(d: Deployment) {
    two_with_dead_letters(&d).await;
    let drop = |below: &str, all: bool| DropDeadLettersRequest {
        parent: format!("partitions/default{below}"),
        all,
    };
    let client = d.client();
    let refused = client.drop_dead_letters(drop("", false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.field_violations()[0].field, "all");
    let none = client
        .drop_dead_letters(drop("/pipes/other", false))
        .await
        .unwrap();
    assert_eq!(none.dropped_count, 0);
    let four = client.drop_dead_letters(drop("", true)).await.unwrap();
    assert_eq!((four.dropped_count, four.more), (4, false));
    let left: Vec<_> = client.dead_letters(dead("")).try_collect().await.unwrap();
    assert!(left.is_empty());
    let first = headway_tests::name("first");
    let failures = d.failures(&first).await;
    assert!(
        failures
            .iter()
            .all(|failure| failure.code == "DEAD_LETTER_DROPPED")
    );
    assert!(failures.iter().all(|failure| failure.details.is_empty()));
    // They failed all the same, and a retry runs them.
    client.retry_job(&first).await.unwrap();
    d.finish(&first, JobState::Completed).await;
}

async fn by_command_line(d: Deployment) {
    two_with_dead_letters(&d).await;
    let lines = async |arguments: &[&str]| {
        let (status, printed, _) = headway(&d, arguments).await;
        assert_eq!(status, ExitStatus::Completed, "{arguments:?}");
        printed.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let failures = lines(&["failures", "first", "--ndjson", "--code", "DEAD_LETTERED"]).await;
    assert_eq!(failures.len(), 4);
    let mut last = String::new();
    for line in failures {
        let failure: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(failure["code"], "DEAD_LETTERED", "{line}");
        failure["item"].as_str().unwrap().clone_into(&mut last);
    }
    let would = lines(&["retry", "first", "--item", &last, "--validate-only"]).await;
    assert_eq!(
        would,
        ["first would have 1 item to run, 3 failures would stay"]
    );
    assert_eq!(d.job(&headway_tests::name("first")).await.run, 0);
    let some = lines(&["failures", "first", "--ndjson", "--limit", "3"]).await;
    assert_eq!(some.len(), 3);
    let (status, _, said) = headway(&d, &["retry", "first", "--code", "NO"]).await;
    assert_eq!(status, ExitStatus::Failed);
    assert!(said.contains("matches the filter"), "{said}");
    let listed = lines(&["dead", "--pipe", WORK]).await;
    assert_eq!(listed.len(), 5, "a heading and a line each: {listed:?}");
    let again = lines(&["dead", "redrive", "--pipe", WORK]).await;
    assert!(again.len() == 1 && again[0].contains("first"), "{again:?}");
    d.finish(&headway_tests::name("first"), JobState::Completed)
        .await;
    let (status, _, said) = headway(&d, &["dead", "drop"]).await;
    assert_eq!(status, ExitStatus::Usage);
    assert!(said.contains("--all"), "{said}");
    let dropped = lines(&["dead", "drop", "--all"]).await;
    assert_eq!(dropped, ["dropped 0 dead letters"]);
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
