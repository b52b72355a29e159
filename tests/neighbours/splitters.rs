//! Splitters that hang or panic: what they cost jobs beside them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use headway::v1::{JobReason, JobSpec, JobState, job_reason::Kind};
use headway_client::{BatchBuilder, JobBuilder};
use headway_splitters::{Child, Definition, Page, PageRequest, SplitError, Splitter};
use headway_tests::{Deployment, Options, PATIENCE, WORK, outcome_counts, range, until};
use serde_json::{Value, json};

use crate::measure::Measured;

on_both!(
    beside_a_splitter_that_hangs with slow_troublemakers,
    beside_a_splitter_that_panics with troublemakers,
    a_split_that_never_ends_fails_with_its_reason with troublemakers,
);

/// How many sub-batches hang: as many as the deployment splits of one job at once.
const HUNG: u32 = 16;

fn troublemakers(options: &mut Options) {
    options.config.split_timeout = Duration::from_secs(1);
    let registry = options.registry.clone().add(Arc::new(Hangs));
    options.registry = registry.add(Arc::new(Panics(AtomicU32::new(0))));
}

/// What hangs does so for longer than a neighbour may wait.
fn slow_troublemakers(options: &mut Options) {
    troublemakers(options);
    options.config.split_timeout = Duration::from_secs(3);
}

/// Finds sub-batches whose pages are never found.
struct Hangs;

#[async_trait]
impl Splitter for Hangs {
    fn name(&self) -> &str {
        "hangs"
    }

    fn reproducible(&self) -> bool {
        false
    }

    fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        Ok(None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let batches = request.definition.json()?.as_f64().unwrap_or(0.0);
        if batches == 0.0 {
            std::future::pending::<()>().await;
        }
        let hung = |_| Child::Batch {
            definition: Definition::Json(json!(0)),
            total: None,
        };
        Ok(Page {
            children: (0..HUNG).map(hung).collect(),
            next: None,
        })
    }
}

/// Takes a definition once, as the server asks, and panics whenever it is asked again.
struct Panics(AtomicU32);

#[async_trait]
impl Splitter for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn reproducible(&self) -> bool {
        true
    }

    fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) == 0, "on purpose");
        Ok(None)
    }

    async fn page(&self, _: PageRequest<'_>) -> Result<Page, SplitError> {
        panic!("on purpose");
    }
}

fn spec(splitter: &str, definition: Value) -> JobSpec {
    let batch = BatchBuilder::new(splitter).json(&definition);
    // The retries of a range come quickly.
    JobBuilder::new(batch.item(WORK, "item"))
        .retry_policy(range(1, 1).build().retry_policy.unwrap_or_default())
        .build()
}

async fn beside_a_splitter_that_hangs(d: Deployment) {
    let mut measured = Measured::with_worker(&d).await;
    let mut spec = spec("hangs", json!(1));
    if let Some(policy) = &mut spec.retry_policy {
        // Each takes a second: they last longer than what is measured.
        policy.max_attempts = 100;
    }
    let hung = d.create("hung", spec).await;
    until("its sub-batches to hang", PATIENCE, || async {
        let explained = d.client().explain_job(&hung).await.unwrap();
        let hang = |reason: &JobReason| {
            reason.kind() == Kind::Splitting && reason.count >= i64::from(HUNG)
        };
        explained.reasons.iter().any(hang).then_some(())
    })
    .await;
    measured.beside(&d).await;
    d.client().cancel_job(&hung).await.unwrap();
    d.finish(&hung, JobState::Cancelled).await;
    measured.judge(&d).await;
}

async fn beside_a_splitter_that_panics(d: Deployment) {
    let mut measured = Measured::with_worker(&d).await;
    let mut spec = spec("panics", json!(0));
    if let Some(policy) = &mut spec.retry_policy {
        // With a fifth of a second between them, they take longer than what is measured.
        policy.max_attempts = 30;
    }
    let name = d.create("panics", spec).await;
    measured.beside(&d).await;
    d.finish(&name, JobState::Failed).await;
    let failures = d.failures(&name).await;
    assert_eq!(failures[0].code, "SPLIT_FAILED");
    assert!(failures[0].message.contains("panicked"), "{failures:?}");
    measured.judge(&d).await;
}

async fn a_split_that_never_ends_fails_with_its_reason(d: Deployment) {
    let mut spec = spec("hangs", json!(0));
    if let Some(policy) = &mut spec.retry_policy {
        policy.max_attempts = 2;
    }
    let name = d.create("never", spec).await;
    let reason = until("the reason to be told", PATIENCE, || async {
        let explained = d.client().explain_job(&name).await.unwrap();
        let mut reasons = explained.reasons.into_iter();
        reasons.find(|reason| reason.kind() == Kind::RetryDelay)
    })
    .await;
    assert!(
        reason.message.contains("found no page within 1 s"),
        "{reason:?}"
    );
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [0; 4]);
    let failures = d.failures(&name).await;
    assert_eq!(failures[0].code, "SPLIT_FAILED");
    let rows = d.store().rows_of(d.uid(&name).await).await.unwrap();
    assert_eq!(rows["split_retry"], 0);
}
