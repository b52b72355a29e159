//! Counters that do not agree with their rows are neither stored nor kept.

use headway_domain::{JobState, reports::ItemEvent};
use headway_store::StoreError;

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Task, Tree, flat, reports},
};

/// A counter that would fall below zero refuses the report; counted again, the report counts and
/// the job ends.
pub(crate) async fn a_report_waits_for_a_recount(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(5))).await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 5);
    // As a fault of an older version would leave it.
    f.sql(format!(
        "UPDATE job_progress SET open_pages = 0, known = 3 WHERE job_key = {}",
        job.key
    ))
    .await;
    f.sql(format!(
        "UPDATE batch SET open_pages = 0 WHERE job_key = {}",
        job.key
    ))
    .await;
    let before = f.store.miscounts();
    let refused = f
        .store
        .apply_reports(&reports(&tasks, |_| ItemEvent::Done))
        .await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(driver.job(&job).await.counts.done, 0);
    assert!(f.store.miscounts() > before);
    let committed = f.store.recount_jobs().await;
    driver.take(committed);
    audit(&f, job.uid).await;
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    let ended = driver.job(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done, ended.counts.known),
        (JobState::Completed, 5, 5)
    );
}

/// A job that cannot be counted again does not keep others from it, and is refused for good instead
/// of being tried forever.
pub(crate) async fn a_recount_that_fails_stops_no_other(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let broken = driver
        .begin(batch(), Tree::new(flat(2)).in_pages_of(1))
        .await;
    let broken_tasks = driver.take_tasks();
    let wrong = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    assert_eq!((broken_tasks.len(), tasks.len()), (2, 2));
    f.sql("UPDATE job_progress SET known = 0").await;
    f.sql(format!(
        "UPDATE page SET state = 99 WHERE job_key = {} AND number = {}",
        broken.key, broken_tasks[1].page
    ))
    .await;
    let report = async |tasks: &[Task]| {
        let reports = reports(tasks, |_| ItemEvent::Done);
        f.store.apply_reports(&reports).await
    };
    for tasks in [&broken_tasks[..1], &tasks] {
        let refused = report(tasks).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
    }
    f.store.miscounted().await;
    let committed = f.store.recount_jobs().await;
    driver.take(committed);
    let refused = report(&broken_tasks[..1]).await;
    assert!(matches!(refused, Err(StoreError::Broken(_))), "{refused:?}");
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    assert_eq!(driver.job(&wrong).await.state(), JobState::Completed);
}

pub(crate) async fn a_sweep_finds_a_wrong_count(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let right = driver.begin(batch(), Tree::new(flat(7))).await;
    let wrong = driver.begin(batch(), Tree::new(flat(9))).await;
    f.sql(format!(
        "UPDATE job_progress SET done = 4, unreleased = 2 WHERE job_key = {}",
        wrong.key
    ))
    .await;
    let (mut after, mut changed) = (0, 0);
    loop {
        let (committed, next) = f.store.audit_job(after).await.unwrap();
        changed += committed.changes.len();
        driver.take(committed);
        if next == 0 {
            break;
        }
        after = next;
    }
    assert_eq!((changed, f.store.miscounts()), (1, 1));
    audit(&f, right.uid).await;
    audit(&f, wrong.uid).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    for job in [&right, &wrong] {
        assert_eq!(driver.job(job).await.state(), JobState::Completed);
    }
}
