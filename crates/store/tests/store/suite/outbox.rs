//! Messages owed to the broker.

use std::collections::BTreeSet;

use headway_domain::{error::Action, reports::ItemEvent};
use headway_store::OutboxMessage;

use crate::suite::{
    Fixture, PIPE, batch,
    create::accept,
    driver::{Driver, Tree, flat},
    task,
};

fn sorted(mut outbox: Vec<OutboxMessage>) -> Vec<OutboxMessage> {
    outbox.sort_by_key(|message| message.id);
    outbox
}

/// What a commit owes is in the table in the same words until it is sent.
pub(crate) async fn owed_until_sent(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 8;
    driver.begin(spec, Tree::new(flat(30))).await;
    assert_eq!(f.store.outbox_len().await.unwrap(), 0);
    let tasks = driver.take_tasks();
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    let created = accept(&f.store, "another", task("x")).await;
    let mut outbox: Vec<OutboxMessage> = driver.outbox.iter().cloned().collect();
    outbox.extend(created.committed.outbox);
    assert_eq!(outbox.len(), 2);
    // An age below 0 asks for what will be due in a second.
    let stored = f.store.outbox_overdue(-1_000_000, 10).await.unwrap();
    assert_eq!(sorted(stored), sorted(outbox.clone()));
    f.store.outbox_sent(&[outbox[0].id]).await.unwrap();
    f.store.outbox_sent(&[outbox[0].id, 12345]).await.unwrap();
    f.store.outbox_sent(&[]).await.unwrap();
    let stored = f.store.outbox_overdue(-1_000_000, 10).await.unwrap();
    assert_eq!(stored, outbox[1..]);
    let minute = 60_000_000;
    assert!(f.store.outbox_overdue(minute, 10).await.unwrap().is_empty());
}

pub(crate) async fn overdue_rows_are_taken_once(f: Fixture) {
    for number in 0..60 {
        accept(&f.store, &format!("j{number}"), task("x")).await;
    }
    let hour = 3_600_000_000i64;
    f.sql(format!(
        "UPDATE outbox SET created = created - {}",
        2 * hour
    ))
    .await;
    let mut sweepers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let store = f.another().await;
        sweepers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let some = store.outbox_overdue(hour, 7).await.unwrap();
                // Fewer than asked for may mean that others hold the rest.
                if some.is_empty() {
                    return taken;
                }
                taken.extend(some);
            }
        });
    }
    let mut taken = Vec::new();
    while let Some(some) = sweepers.join_next().await {
        taken.extend(some.unwrap().into_iter().map(|message| message.id));
    }
    let distinct: BTreeSet<_> = taken.iter().copied().collect();
    assert_eq!((taken.len(), distinct.len()), (60, 60));
    assert_eq!(f.store.outbox_len().await.unwrap(), 60);
}

/// Nothing is heard of items that wait in the outbox: they are not lost.
pub(crate) async fn deferred_items_are_not_silent(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(4))).await;
    let shard = driver.job(&job).await.meta.shard;
    let minute = 60_000_000;
    let silent = async || {
        let before = f.store.now() + minute;
        f.store.silent_jobs(PIPE, before, &[shard]).await.unwrap()
    };
    assert_eq!(silent().await.len(), 1);
    for wait in [3600, 0] {
        let wait = std::time::Duration::from_secs(wait);
        let indexes = [1, 3].into_iter().collect();
        let deferred = f.store.defer_dispatch(job.uid, 1, 0, indexes, wait);
        deferred.await.unwrap();
        assert!(silent().await.is_empty());
    }
}

/// What a pipe does not take waits; once its job has ended it does not wait any more.
pub(crate) async fn deferred_until_a_pipe_takes_it(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(4))).await;
    let hour = std::time::Duration::from_secs(3600);
    let indexes = [1, 3].into_iter().collect();
    let deferred = f.store.defer_dispatch(job.uid, 1, 0, indexes, hour);
    deferred.await.unwrap();
    f.store.hasten_deferred().await.unwrap();
    assert!(f.store.outbox_overdue(0, 10).await.unwrap().is_empty());
    assert_eq!(f.store.outbox_len().await.unwrap(), 1);
    driver.control(&job, Action::Cancel).await;
    f.store.hasten_deferred().await.unwrap();
    let outbox = f.store.outbox_overdue(0, 10).await.unwrap();
    assert_eq!(
        (outbox.len(), outbox[0].uid, outbox[0].page),
        (1, job.uid, 1)
    );
    assert_eq!(outbox[0].indexes.iter().collect::<Vec<_>>(), [1, 3]);
}
