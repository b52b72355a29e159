//! Jobs with rows that cannot be read: sweeps go on with the others.

use std::collections::BTreeSet;

use headway_domain::{JobState, PartitionId, events::Caller, pipes::Share};

use crate::suite::{
    Fixture, batch,
    create::accept,
    driver::{Driver, Tree, flat},
    failures::failure,
    task,
    unreadable::HOUR,
};

pub(crate) async fn an_idle_job(f: Fixture) {
    accept(&f.store, "broken", task("x")).await;
    accept(&f.store, "whole", batch()).await;
    // As if a commit had been lost that asked for the split.
    let key = f.key_of("whole").await;
    f.sql(format!(
        "UPDATE page SET state = 1, todo = 1 WHERE job_key = {key}"
    ))
    .await;
    f.sql(format!("UPDATE job_progress SET unsplit = 1, splitting = 0, updated = updated - {HOUR} WHERE job_key = {key}"))
        .await;
    let broken = f.key_of("broken").await;
    f.sql(format!(
        "UPDATE job_progress SET updated = updated - {HOUR} WHERE job_key = {broken}"
    ))
    .await;
    let store = f.break_job("broken").await;
    let (committed, next) = store.advance_idle(HOUR / 2, 0).await.unwrap();
    assert_eq!((committed.outbox.len(), next), (1, None));
    assert_eq!(f.aside().await, [format!("job {broken}")]);
    let (again, _) = store.advance_idle(HOUR / 2, 0).await.unwrap();
    assert!(again.changes.is_empty());
}

pub(crate) async fn jobs_that_start_or_expire(f: Fixture) {
    for job in ["broken", "whole"] {
        let mut driver = Driver::new(&f.store);
        accept(&f.store, job, task("x")).await;
        driver.pump().await;
    }
    let broken = f.key_of("broken").await;
    f.sql("UPDATE job_progress SET deadline = 2").await;
    f.sql(format!(
        "UPDATE job_progress SET deadline = 1 WHERE job_key = {broken}"
    ))
    .await;
    let store = f.break_job("broken").await;
    let (committed, _) = store.fire_jobs().await.unwrap();
    assert_eq!(committed.changes.len(), 1);
    assert_eq!(f.state("whole").await, JobState::Failed);
    assert_eq!(f.aside().await, [format!("job {broken}")]);
    assert_eq!(store.next_job_due().await.unwrap(), None);
    // The next sweep of another kind leaves it alone as well.
    f.sql("UPDATE job_progress SET expires = 1").await;
    f.sql("DELETE FROM unreadable").await;
    let (committed, _) = store.expire_jobs().await.unwrap();
    assert_eq!(committed.changes.len(), 1);
    assert_eq!(f.count("job").await, 1);
    assert_eq!(f.aside().await, [format!("job {broken}")]);
}

pub(crate) async fn timers_of_a_shard(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let mut spec = batch();
        spec.retry_policy.max_attempts = 3;
        jobs.push(driver.begin(spec, Tree::new(flat(1))).await);
    }
    for at in driver.take_tasks() {
        let passing = headway_domain::reports::Failed {
            retryable: true,
            ..failure("BUSY", "again")
        };
        driver
            .say(&at, headway_domain::reports::ItemEvent::Failed(passing))
            .await;
    }
    f.sql("UPDATE item SET shard = 0, due = 2").await;
    f.sql(format!(
        "UPDATE item SET due = 1 WHERE job_key = {}",
        jobs[0].key
    ))
    .await;
    let store = f.break_job(jobs[0].name.job.as_str()).await;
    let (committed, _) = store.fire_items(0, store.now()).await.unwrap();
    let uids: BTreeSet<_> = committed.outbox.iter().map(|message| message.uid).collect();
    assert_eq!(uids, BTreeSet::from([jobs[1].uid]));
    assert_eq!(f.aside().await, [format!("job {}", jobs[0].key)]);
    assert_eq!(store.next_due(0).await.unwrap().first(), None);
}

pub(crate) async fn pages_to_split_again(f: Fixture) {
    for job in ["broken", "whole"] {
        accept(&f.store, job, batch()).await;
    }
    f.sql("UPDATE page SET state = 1, todo = 2, due = 1").await;
    f.sql("UPDATE job_progress SET unsplit = 1, splitting = 0")
        .await;
    let broken = f.key_of("broken").await;
    let store = f.break_job("broken").await;
    let committed = store.fire_pages().await.unwrap();
    assert_eq!(committed.outbox.len(), 1);
    assert_eq!(f.aside().await, [format!("job {broken}")]);
    assert!(store.fire_pages().await.unwrap().outbox.is_empty());
}

pub(crate) async fn shares_and_suspension(f: Fixture) {
    for job in ["broken", "whole"] {
        accept(&f.store, job, batch()).await;
    }
    let (broken, whole) = (f.key_of("broken").await, f.key_of("whole").await);
    let store = f.break_job("broken").await;
    let share = Share::of(77);
    store
        .set_shares(&[(broken, share), (whole, share)])
        .await
        .unwrap();
    let allowance = f
        .ints(format!(
            "SELECT allowance AS value FROM job_progress WHERE job_key = {whole}"
        ))
        .await;
    assert_eq!(allowance, [77]);
    let acme = PartitionId::new("acme").unwrap();
    store
        .partitions()
        .set_suspended(&acme, true, &Caller::default())
        .await
        .unwrap();
    store.walk_partition(&acme, 0).await.unwrap();
    let suspended = f
        .ints(format!(
            "SELECT suspended AS value FROM job_progress WHERE job_key = {whole}"
        ))
        .await;
    assert_eq!(suspended, [1]);
    assert!(store.partitions().to_walk().await.unwrap().is_empty());
}
