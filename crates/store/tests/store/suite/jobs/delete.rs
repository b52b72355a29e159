//! Deleting jobs.

use headway_domain::events::Caller;
use headway_domain::{
    Error,
    reports::{Failed, ItemEvent},
    slice::Disposition,
};
use headway_store::{SplitPlan, StoreError};

use crate::suite::{
    Fixture, batch,
    driver::{Driver, SESSION, Started, Tree, flat, reports},
    failures::failure,
    name, new_job, task,
};

async fn collect(f: &Fixture) {
    while f.store.collect_garbage().await.unwrap() {}
}

async fn nothing_is_left(f: &Fixture, job: &Started) {
    let rows = f.store.rows_of(job.uid).await.unwrap();
    assert!(!rows.is_empty());
    assert!(rows.values().all(|rows| *rows == 0), "{rows:?}");
    assert_eq!(f.count("garbage").await, 0);
}

pub(crate) async fn a_live_job(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.labels.insert("team".to_owned(), "blue".to_owned());
    let job = driver.begin(spec, Tree::new(flat(9)).in_pages_of(4)).await;
    let tasks = driver.take_tasks();
    let leased = ItemEvent::Leased;
    driver.say(&tasks[0], leased).await;
    let failed = ItemEvent::Failed(failure("E", "no"));
    driver.say(&tasks[1], failed).await;
    let before = driver.job(&job).await.revision;
    let committed = f
        .store
        .delete_job(&job.name, &Caller::default())
        .await
        .unwrap();
    assert_eq!(committed.controls.len(), 1);
    assert_eq!(committed.controls[0].uid, job.uid);
    assert_eq!(committed.controls[0].disposition, Disposition::Discard);
    assert!(committed.changes[0].deleted);
    assert!(committed.changes[0].revision > before);
    assert!(matches!(
        f.store.job(&job.name).await.unwrap_err(),
        StoreError::Domain(Error::JobNotFound(_))
    ));
    // What workers and batch workers still hold changes nothing, also in the process that knew the
    // job.
    for store in [f.store.clone(), f.another().await] {
        let late = store
            .apply_reports(&reports(&tasks, |_| ItemEvent::Done))
            .await
            .unwrap();
        assert_eq!(late.applied.applied, 0);
        assert!(late.left.is_empty());
        let plan = store.plan_split(job.uid, 1, 0).await.unwrap();
        assert!(matches!(plan, SplitPlan::Nothing(_)));
        let plan = store.plan_dispatch(job.uid, 1, &[0]).await.unwrap();
        assert!(plan.is_none_or(|plan| plan.items.is_empty()));
    }
    collect(&f).await;
    nothing_is_left(&f, &job).await;
}

/// Before its rows are collected, nothing of it is due.
pub(crate) async fn timers_of_a_deleted_job(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(3)).in_pages_of(2))
        .await;
    let tasks = driver.take_tasks();
    driver.say(&tasks[0], ItemEvent::Leased).await;
    let passing = Failed {
        retryable: true,
        ..failure("E", "again")
    };
    driver
        .say(&tasks[1], ItemEvent::Failed(passing.clone()))
        .await;
    f.sql("UPDATE item SET lease_until = 1 WHERE lease_until > 0")
        .await;
    let splitting = driver.create(batch(), Tree::new(flat(1))).await;
    f.store
        .record_split_failure(splitting.uid, 1, 0, passing)
        .await
        .unwrap();
    let shard = driver.job(&job).await.meta.shard;
    assert_eq!(f.store.next_due(shard).await.unwrap().first(), Some(1));
    f.store
        .delete_job(&job.name, &Caller::default())
        .await
        .unwrap();
    f.store
        .delete_job(&splitting.name, &Caller::default())
        .await
        .unwrap();
    assert_eq!(f.store.next_due(shard).await.unwrap().first(), None);
    assert_eq!(f.store.renew_leases(SESSION).await.unwrap(), 0);
    let due = f.ints("SELECT due AS value FROM page").await;
    assert!(!due.is_empty() && due.iter().all(|due| *due == 0));
    collect(&f).await;
    nothing_is_left(&f, &job).await;
}

pub(crate) async fn a_job_of_many_rows(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(task("x"), Tree::new(Vec::new())).await;
    let key = job.key;
    f.sql(format!(
        "INSERT INTO failure SELECT {key}, 0, n, 1, n, 'E', '', '', 1, 0, '' FROM \
         (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 12000) SELECT n FROM s) AS numbers"
    ))
    .await;
    let other = driver.begin(task("x"), Tree::new(Vec::new())).await;
    f.store
        .delete_job(&job.name, &Caller::default())
        .await
        .unwrap();
    let again = f
        .store
        .delete_job(&job.name, &Caller::default())
        .await
        .unwrap_err();
    assert!(matches!(again, StoreError::Domain(Error::JobNotFound(_))));
    // Two processes collect at once.
    let second = f.another().await;
    let (one, two) = tokio::join!(f.store.collect_garbage(), second.collect_garbage());
    one.unwrap();
    two.unwrap();
    collect(&f).await;
    nothing_is_left(&f, &job).await;
    assert_eq!(f.store.rows_of(other.uid).await.unwrap()["page"], 1);
}

pub(crate) async fn create_again_under_the_same_name(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.create(task("old"), Tree::new(Vec::new())).await;
    let old = driver.outbox.pop_front().unwrap();
    driver.serve(&old).await;
    let tasks = driver.take_tasks();
    f.store
        .delete_job(&job.name, &Caller::default())
        .await
        .unwrap();
    let created = f
        .store
        .create_job(new_job(job.name.clone(), task("new")))
        .await
        .unwrap();
    assert!(!created.existed);
    assert_ne!(created.view.job.meta.uid, job.uid);
    // The old job's messages: one still owed, one at a worker.
    driver.serve(&old).await;
    assert!(driver.tasks.is_empty());
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    collect(&f).await;
    let now = f.store.job(&job.name).await.unwrap();
    assert_eq!(now.job, created.view.job);
    assert_eq!(now.body.as_deref(), Some(&b"new"[..]));
    nothing_is_left(&f, &job).await;
    assert!(f.store.job(&name("other")).await.is_err());
}

/// What deleted jobs took is given back to the file system.
pub(crate) async fn the_file_shrinks(f: Fixture) {
    if f.is_postgres() {
        assert!(!f.store.shrink().await.unwrap());
        return;
    }
    for number in 0..20 {
        let id = format!("large-{number}");
        let created = f
            .store
            .create_job(new_job(name(&id), task(&"x".repeat(500_000))));
        created.await.unwrap();
    }
    let pages = async || {
        f.ints("SELECT page_count AS value FROM pragma_page_count()")
            .await[0]
    };
    let before = pages().await;
    for number in 0..20 {
        f.store
            .delete_job(&name(&format!("large-{number}")), &Caller::default())
            .await
            .unwrap();
    }
    collect(&f).await;
    let mut rounds = 0;
    while f.store.shrink().await.unwrap() {
        rounds += 1;
        assert!(rounds < 50, "it does not end");
    }
    let after = pages().await;
    assert!(rounds > 0 && after <= before - 500, "{before} {after}");
}
