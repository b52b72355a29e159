//! What keeps a job from sending more, or from hearing of what it sent, as ExplainJob tells it.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use headway::v1::{JobState, Partition, RetryPolicy, job_reason::Kind};
use headway_broker::Queue;
use headway_client::{BatchBuilder, JobBuilder, JobName};
use headway_splitters::{Child, Definition, Page, PageRequest, SplitError, Splitter};
use headway_tests::{Deployment, Options, PATIENCE, Record, WORK, range, until};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::{Value, json};

use crate::{
    handlers::quick,
    jobs::explain::{kinds, reason},
    retries::failures::kill_messages,
};

on_both!(
    a_limited_pipe,
    a_partition_with_a_quota,
    items_between_attempts,
    messages_that_were_given_up,
    workers_that_fell_silent with short_leases,
    batches_that_are_not_split_yet with held_splits,
);

fn short_leases(options: &mut Options) {
    options.config.lease_after = Duration::from_secs(2);
}

/// Waits until this many items of a job are out.
async fn out(d: &Deployment, name: &JobName, items: i64) {
    d.watch_until(name, "items are out", |job| {
        job.progress.unwrap_or_default().items_in_flight == items
    })
    .await;
}

/// Lets a job come to its end, now that what kept it is known.
async fn done(d: &Deployment, name: &JobName) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(name, JobState::Completed).await;
}

async fn a_limited_pipe(d: Deployment) {
    let client = d.client();
    client.limit_pipe(WORK, 10, 0.0).await.unwrap();
    let name = d.create("limited", range(30, 30).build()).await;
    out(&d, &name, 10).await;
    let limit = reason(&d, &name, Kind::PipeLimit).await;
    assert_eq!((limit.pipe.as_str(), limit.count), (WORK, 10));
    assert!(
        limit.message.contains("limited to 10 items at once"),
        "{limit:?}"
    );
    client.limit_pipe(WORK, 0, 0.01).await.unwrap();
    let limited = until("the other limit to be told", PATIENCE, || async {
        let limit = reason(&d, &name, Kind::PipeLimit).await;
        limit.message.contains("0.01 a second").then_some(limit)
    })
    .await;
    assert_eq!(limited.pipe, WORK);
    client.limit_pipe(WORK, 0, 0.0).await.unwrap();
    done(&d, &name).await;
}

async fn a_partition_with_a_quota(d: Deployment) {
    let partition = |max_items_in_flight| Partition {
        name: "partitions/default".to_owned(),
        max_items_in_flight,
        ..Partition::default()
    };
    let set = async |most| {
        let set = d
            .client()
            .update_partition(partition(most), &["max_items_in_flight"]);
        set.await.unwrap();
    };
    set(5).await;
    let name = d.create("bound", range(30, 30).build()).await;
    out(&d, &name, 5).await;
    let quota = reason(&d, &name, Kind::PartitionQuota).await;
    assert_eq!(quota.count, 5);
    assert!(quota.message.contains("partition default"), "{quota:?}");
    set(0).await;
    done(&d, &name).await;
}

async fn items_between_attempts(d: Deployment) {
    let first = d.worker(|worker| {
        worker.handler(|_: Task| async { Err::<Outcome, _>(TaskError::retryable("BUSY", "later")) })
    });
    let second = prost_types::Duration {
        seconds: 2,
        nanos: 0,
    };
    let spec = range(3, 3).retry_policy(RetryPolicy {
        initial_backoff: Some(second),
        max_backoff: Some(second),
        ..RetryPolicy::default()
    });
    let name = d.create("again", spec.build()).await;
    d.watch_until(&name, "all are delayed", |job| {
        job.progress.unwrap_or_default().items_delayed == 3
    })
    .await;
    let delay = reason(&d, &name, Kind::RetryDelay).await;
    assert!(delay.count == 3 && delay.reason_time.is_some(), "{delay:?}");
    first.stop();
    done(&d, &name).await;
}

async fn messages_that_were_given_up(d: Deployment) {
    let name = d.create("given-up", range(6, 6).build()).await;
    kill_messages(&d, &Queue::Pipe(WORK.to_owned()), 2).await;
    d.watch_until(&name, "two failed", |job| {
        job.progress.unwrap_or_default().items_failed == 2
    })
    .await;
    assert_eq!(reason(&d, &name, Kind::DeadLetters).await.count, 2);
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&name, JobState::Failed).await;
    assert_eq!(kinds(&d, &name).await, [Kind::Ended, Kind::DeadLetters]);
}

async fn workers_that_fell_silent(d: Deployment) {
    let doomed = d.worker(|worker| {
        worker.handler(|_: Task| async {
            std::future::pending::<()>().await;
            Ok::<_, TaskError>(Outcome::done())
        })
    });
    let name = d.create("silent", range(2, 2).build()).await;
    let uid = d.uid(&name).await;
    until("the items to be leased", PATIENCE, || async {
        let rows = d.store().rows_of(uid).await.unwrap();
        (rows["item"] == 2).then_some(())
    })
    .await;
    assert!(!kinds(&d, &name).await.contains(&Kind::SilentWorkers));
    doomed.crash();
    until("its silence to be told", PATIENCE, || async {
        let explained = d.client().explain_job(&name).await.unwrap();
        let silent = explained.reasons.into_iter();
        let mut silent = silent.filter(|reason| reason.kind() == Kind::SilentWorkers);
        silent.next().filter(|reason| reason.count == 2)
    })
    .await;
    done(&d, &name).await;
}

/// Finds one item, once the file is there that the definition names.
struct Held;

#[async_trait]
impl Splitter for Held {
    fn name(&self) -> &str {
        "held"
    }

    fn reproducible(&self) -> bool {
        true
    }

    fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        Ok(None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let definition = request.definition.json()?.into_owned();
        let file = Path::new(definition.as_str().unwrap_or_default());
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Page {
            children: vec![Child::Item(json!(1))],
            next: None,
        })
    }
}

fn held_splits(options: &mut Options) {
    options.registry = options.registry.clone().add(Arc::new(Held));
}

async fn batches_that_are_not_split_yet(d: Deployment) {
    let file = d.folder().join("go");
    let batch = BatchBuilder::new("held").json(&json!(file));
    let spec = JobBuilder::new(batch.item(WORK, "number")).build();
    let name = d.create("unsplit", spec).await;
    assert_eq!(reason(&d, &name, Kind::Splitting).await.count, 1);
    std::fs::write(file, "").unwrap();
    done(&d, &name).await;
}
