//! Failed items: what is recorded, and what a job makes of them.

use headway_domain::{
    Error, JobState,
    error::Action,
    jobs::{FailurePolicy, Tolerance},
    limits,
    reports::{Failed, ItemEvent},
    slice::Disposition,
};
use headway_store::StoreError;

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Tree, flat, reports},
};

/// A failure that trying again does not help.
pub(crate) fn failure(code: &str, message: &str) -> Failed {
    Failed {
        retryable: false,
        code: code.to_owned(),
        message: message.to_owned(),
        details: String::new(),
    }
}

pub(crate) async fn texts_are_cleaned_and_cut(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    let mut said = reports(&tasks, |task| {
        ItemEvent::Failed(match task.index {
            0 => Failed {
                retryable: false,
                code: "A\0B".to_owned(),
                message: "before\0after".to_owned(),
                details: "\0".to_owned(),
            },
            _ => Failed {
                retryable: false,
                code: "c".repeat(limits::MAX_ID_BYTES + 1),
                message: "é".repeat(limits::MAX_TEXT_BYTES),
                details: format!("x{}", "é".repeat(limits::MAX_DETAILS_BYTES)),
            },
        })
    });
    said[0].worker = "worker\0of one".to_owned();
    let applied = driver.report(said).await.applied;
    assert_eq!(applied.applied, 2);
    let page = f
        .store
        .list_failures(&job.name, &Default::default(), None, 10)
        .await
        .unwrap();
    let [first, second] = &page.failures[..] else {
        panic!("{page:?}")
    };
    assert_eq!(first.code, "A\u{fffd}B");
    assert_eq!(first.message, "before\u{fffd}after");
    assert_eq!(first.details, "\u{fffd}");
    assert_eq!(first.worker, "worker\u{fffd}of one");
    assert_eq!((first.seq, first.page, first.idx), (1, 1, 0));
    assert_eq!((first.attempt, first.run), (1, 0));
    assert!(first.recorded > 0);
    assert_eq!(second.code.len(), limits::MAX_ID_BYTES);
    assert_eq!(second.message.len(), limits::MAX_TEXT_BYTES);
    assert_eq!(second.details.len(), limits::MAX_DETAILS_BYTES - 1);
    let view = f.store.job(&job.name).await.unwrap();
    assert_eq!(view.job.state(), JobState::Failed);
    assert_eq!(view.failures.len(), 2);
    assert_eq!(view.failures[0].seq, 2, "newest first");
}

pub(crate) async fn texts_are_capped_and_counts_exact(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 20_000;
    let job = driver.create(spec, Tree::new(flat(10_003))).await;
    driver.take_credit(&job).await;
    driver.pump().await;
    let ended = driver
        .finish(&job, |_| ItemEvent::Failed(failure("E", "why")))
        .await;
    assert_eq!(ended.counts.failed, 10_003);
    assert_eq!(ended.counts.failures, 10_003);
    assert_eq!(ended.state(), JobState::Failed);
    let page = f
        .store
        .list_failures(&job.name, &Default::default(), Some((0, 9_998)), 10)
        .await
        .unwrap();
    let texts: Vec<_> = page
        .failures
        .iter()
        .map(|failure| (failure.seq, failure.message.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            (9_999, "why"),
            (10_000, "why"),
            (10_001, ""),
            (10_002, ""),
            (10_003, "")
        ]
    );
    assert!(page.failures.iter().all(|failure| failure.code == "E"));
    audit(&f, job.uid).await;
}

pub(crate) async fn pages_and_tokens(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(12))).await;
    driver
        .finish(&job, |_| ItemEvent::Failed(failure("E", "no")))
        .await;
    let (mut above, mut seqs) = (None, Vec::new());
    loop {
        let page = f
            .store
            .list_failures(&job.name, &Default::default(), above, 5)
            .await
            .unwrap();
        assert_eq!(page.run, 0);
        seqs.extend(page.failures.iter().map(|failure| failure.seq));
        let Some(next) = page.next else { break };
        above = Some((page.run, next));
    }
    assert_eq!(seqs, (1..=12).collect::<Vec<i64>>());
    assert_eq!(f.store.job(&job.name).await.unwrap().failures.len(), 10);

    driver.control(&job, Action::Retry).await;
    let expired = f
        .store
        .list_failures(&job.name, &Default::default(), above, 5)
        .await;
    assert!(matches!(
        expired.unwrap_err(),
        StoreError::Domain(Error::PageToken)
    ));
    let page = f
        .store
        .list_failures(&job.name, &Default::default(), None, 5)
        .await
        .unwrap();
    assert!(page.failures.is_empty());
    assert!(f.store.job(&job.name).await.unwrap().failures.is_empty());
}

pub(crate) async fn stop_policy(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.failure_policy = FailurePolicy {
        tolerance: Tolerance::Items(2),
        stop: true,
    };
    spec.max_in_flight = 8;
    let job = driver.begin(spec, Tree::new(flat(20))).await;
    let tasks = driver.take_tasks();
    let failed = ItemEvent::Failed(failure("E", "no"));
    driver.answer(&tasks[..2], |_| failed.clone()).await;
    assert_eq!(driver.job(&job).await.state(), JobState::Active);
    driver.controls.clear();
    driver.say(&tasks[2], failed.clone()).await;
    let stopped = driver.job(&job).await;
    assert_eq!(stopped.state(), JobState::Failed);
    assert!(stopped.settled.is_none());
    assert_eq!(driver.controls.len(), 1);
    assert_eq!(driver.controls[0].disposition, Disposition::Discard);
    assert_eq!(driver.controls[0].control, stopped.control);
    audit(&f, job.uid).await;
    // What was released meanwhile is dropped, what was never released stays so.
    driver.answer(&tasks[3..], |_| ItemEvent::Discarded).await;
    let settled = driver
        .finish(&job, |_| panic!("an item of a stopped job was sent"))
        .await;
    assert_eq!((settled.counts.failed, settled.counts.done), (3, 0));
    assert!(settled.counts.unreleased > 0);
    audit(&f, job.uid).await;
    driver.control(&job, Action::Retry).await;
    let ended = driver.finish_well(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 20)
    );
}

pub(crate) async fn percentage_policy(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    for (failing, state) in [(2, JobState::Completed), (3, JobState::Failed)] {
        let mut spec = batch();
        spec.failure_policy.tolerance = Tolerance::Percentage(10.0);
        let job = driver.begin(spec, Tree::new(flat(20))).await;
        let ended = driver
            .finish(&job, |task| {
                if task.index < failing {
                    ItemEvent::Failed(failure("E", "no"))
                } else {
                    ItemEvent::Done
                }
            })
            .await;
        assert_eq!(ended.state(), state);
        assert_eq!(ended.counts.failed, u64::from(failing));
        audit(&f, job.uid).await;
    }
}
