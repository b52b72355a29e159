//! Jobs that another transaction holds.

use std::time::Duration;

use headway_domain::{
    batches::Forward,
    error::Action,
    reports::{ItemEvent, ItemReport},
};
use headway_runtime::tasks;
use headway_store::{OutboxKind, SplitPlan, StoreError};
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Started, Tree, flat, reports},
    task,
};

/// Holds a job as another process would in the middle of its transaction.
async fn hold(f: &Fixture, job: &Started) -> DatabaseTransaction {
    let held = f.raw.begin().await.unwrap();
    let sql = format!(
        "SELECT 1 FROM job_progress WHERE job_key = {} FOR UPDATE",
        job.key
    );
    held.execute_unprepared(&sql).await.unwrap();
    held
}

/// Returns once a transaction waits for a lock on the fixture's tables.
async fn somebody_waits(f: &Fixture) {
    let sql = format!(
        "SELECT count(*) AS value FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%' \
         AND pid IN (SELECT pid FROM pg_locks WHERE relation = '\"{}\".job_progress'::regclass)",
        f.config.schema
    );
    while f.ints(&sql).await[0] == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

pub(crate) async fn jobs_held_elsewhere_are_left(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let free = driver.begin(batch(), Tree::new(flat(3))).await;
    let held = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    let one_each: Vec<_> = tasks
        .iter()
        .flat_map(|task| reports(std::slice::from_ref(task), |_| ItemEvent::Done))
        .collect();
    let lock = hold(&f, &held).await;
    let tracked = f.store.apply_reports(&one_each).await.unwrap();
    assert_eq!(tracked.applied.applied, 3);
    let left: Vec<_> = (0..one_each.len())
        .filter(|position| one_each[*position].job == held.uid)
        .collect();
    assert_eq!(tracked.left, left);
    assert_eq!(driver.job(&free).await.counts.done, 3);
    assert_eq!(driver.job(&held).await.counts.done, 0);
    lock.rollback().await.unwrap();
    let again: Vec<_> = left.iter().map(|at| one_each[*at].clone()).collect();
    let tracked = f.store.apply_reports(&again).await.unwrap();
    assert_eq!((tracked.applied.applied, tracked.left.len()), (2, 0));
    audit(&f, held.uid).await;
}

pub(crate) async fn reports_wait_for_their_turn_when_told_to(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    let said = reports(&tasks, |_| ItemEvent::Done);
    let lock = hold(&f, &job).await;
    let waiting = f.store.apply_reports_in_turn(&said);
    let mut waiting = std::pin::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "it did not wait");
    lock.rollback().await.unwrap();
    let tracked = waiting.await.unwrap();
    assert_eq!((tracked.applied.applied, tracked.left.len()), (2, 0));
    audit(&f, job.uid).await;
}

pub(crate) async fn a_job_held_elsewhere_is_skipped_by_timers(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks, |_| ItemEvent::Leased).await;
    f.sql(format!("UPDATE item SET lease_until = {}", f.store.now()))
        .await;
    let shard = driver.job(&job).await.meta.shard;
    let lock = hold(&f, &job).await;
    let (committed, _) = f.store.fire_items(shard, i64::MAX).await.unwrap();
    assert!(committed.outbox.is_empty());
    let (committed, _) = f.store.advance_idle(0, 0).await.unwrap();
    assert!(committed.changes.is_empty());
    // A late one waits for its turn.
    f.sql("UPDATE item SET lease_until = 1").await;
    let firing = f.store.fire_items(shard, i64::MAX);
    let mut firing = std::pin::pin!(firing);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut firing).await;
    assert!(early.is_err(), "it did not wait");
    lock.rollback().await.unwrap();
    let (committed, _) = firing.await.unwrap();
    driver.take(committed);
    assert_eq!(driver.finish_well(&job).await.counts.done, 2);
}

/// The batch worker reads that the job is held, and it goes on before the batch worker can say so:
/// its message stands for the items, so it must send them.
pub(crate) async fn resumed_while_it_was_held(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.create(task("x"), Tree::new(Vec::new())).await;
    driver.control(&job, Action::Pause).await;
    let message = driver.outbox.pop_front().unwrap();
    assert_eq!(message.kind, OutboxKind::Dispatch);
    let lock = hold(&f, &job).await;
    let store = f.store.clone();
    let planning = tasks::spawn(async move { store.plan_dispatch(message.uid, 1, &[0]).await });
    somebody_waits(&f).await;
    resume(lock, &job).await;
    let plan = planning.await.unwrap().unwrap().unwrap();
    let again = plan.committed.outbox.len();
    assert_eq!(plan.items.len() + again, 1, "the item is lost");
    audit(&f, job.uid).await;
}

pub(crate) async fn a_split_resumed_while_it_was_held(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.create(batch(), Tree::new(flat(3))).await;
    driver.control(&job, Action::Pause).await;
    driver.outbox.clear();
    let lock = hold(&f, &job).await;
    let (store, uid) = (f.store.clone(), job.uid);
    let planning = tasks::spawn(async move { store.plan_split(uid, 1, 0).await });
    somebody_waits(&f).await;
    resume(lock, &job).await;
    match planning.await.unwrap().unwrap() {
        SplitPlan::Split(source) => assert_eq!(source.page, 1),
        other => panic!("the split is lost: {other:?}"),
    }
    audit(&f, job.uid).await;
}

/// What resuming does to a job of which nothing is parked yet.
async fn resume(lock: DatabaseTransaction, job: &Started) {
    let sql = format!(
        "UPDATE job_progress SET paused = 0, control = control + 1, revision = revision + 1 WHERE job_key = {}",
        job.key
    );
    lock.execute_unprepared(&sql).await.unwrap();
    lock.commit().await.unwrap();
}

/// A text that PostgreSQL refuses and nobody cleans: the whole call changes nothing, and says that
/// it is for good.
pub(crate) async fn refused_texts(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let mut said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    said[0].done = vec![0];
    said[0].items = vec![ItemReport {
        index: 1,
        attempt: 0,
        stage: 0,
        event: ItemEvent::Forward(Forward {
            pipe: "second".to_owned(),
            task_type: "a\0b".to_owned(),
            payload: Vec::new(),
            content_type: String::new(),
        }),
    }];
    let before = driver.job(&job).await;
    let refused = f.store.apply_reports(&said).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    assert!(!refused.is_passing());
    assert_eq!(driver.job(&job).await, before);
    said[0].items.clear();
    assert_eq!(driver.report(said).await.applied.applied, 1);
}
