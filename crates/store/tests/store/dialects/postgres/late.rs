//! The audit log and transactions that commit in another order than they began in.

use headway_domain::PartitionId;
use headway_store::{EventRow, Position};
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};

use crate::suite::{
    Fixture,
    create::accept,
    events::{all, read, visible, visible_to},
    name_in, new_job, task,
};

/// A transaction that wrote an event of this job and is not committed.
async fn late(f: &Fixture, job: &str) -> DatabaseTransaction {
    let late = f.raw.begin().await.unwrap();
    let sql = format!(
        "INSERT INTO event (uid, partition_id, job_id, kind, state, revision, run, actor, correlation, message, batch, items, recorded) \
         VALUES (decode(repeat('07', 16), 'hex'), 'acme', '{job}', 1, 1, 1, 0, '', '', '', 0, 0, 1)"
    );
    late.execute_unprepared(&sql).await.unwrap();
    late
}

fn jobs(events: &[EventRow]) -> Vec<&str> {
    let mut jobs: Vec<_> = events
        .iter()
        .filter_map(|event| event.name.as_ref())
        .map(|name| name.job.as_str())
        .collect();
    jobs.dedup();
    jobs
}

pub(crate) async fn what_commits_late_is_not_skipped(f: Fixture) {
    accept(&f.store, "before", task("x")).await;
    visible(&f).await;
    let late = late(&f, "late").await;
    accept(&f.store, "after", task("x")).await;
    // What began later is committed, but nobody may see it before the late one.
    let first = f
        .store
        .events()
        .list(&all(), Position::default(), 100)
        .await
        .unwrap();
    assert_eq!(jobs(&first.events), ["before"]);
    assert!(!first.more);
    let end = f.store.events().end().await.unwrap();
    let (mut whole, mut from_end, mut after, mut after_end) =
        (first.events, Vec::new(), first.next, end);
    // Readers go on while it is open, again and again, also in pages of one.
    for number in 0..3 {
        accept(&f.store, &format!("more-{number}"), task("x")).await;
        let page = f.store.events().list(&all(), after, 1).await.unwrap();
        whole.extend(page.events);
        after = page.next;
        let page = f.store.events().list(&all(), after_end, 100).await.unwrap();
        from_end.extend(page.events);
        after_end = page.next;
    }
    assert_eq!(jobs(&whole), ["before"]);
    late.commit().await.unwrap();
    visible(&f).await;
    whole.extend(read(&f.store, &all(), after, 2).await);
    from_end.extend(read(&f.store, &all(), after_end, 100).await);
    assert_eq!(
        jobs(&whole),
        ["before", "late", "after", "more-0", "more-1", "more-2"]
    );
    assert_eq!(whole.len(), 2 + 1 + 2 * 4, "each once");
    assert_eq!(from_end, whole[2..]);
    let again = read(&f.store, &all(), Position::default(), 100).await;
    assert_eq!(again, whole);
    // One that is rolled back hides nothing either.
    let never = self::late(&f, "never").await;
    accept(&f.store, "last", task("x")).await;
    never.rollback().await.unwrap();
    visible(&f).await;
    let last = whole.last().unwrap().position;
    let rest = read(&f.store, &all(), last, 100).await;
    assert_eq!(jobs(&rest), ["last"]);
}

pub(crate) async fn events_of_another_cluster_come_first(f: Fixture) {
    accept(&f.store, "old", task("x")).await;
    visible(&f).await;
    let cursor = read(&f.store, &all(), Position::default(), 10).await[0].position;
    // A dump of a cluster whose transaction ids were far ahead of those here.
    f.sql("UPDATE event SET tx = tx + 1000000000").await;
    let stores = [f.another().await, f.another().await];
    for (number, store) in stores.iter().enumerate() {
        accept(store, &format!("new-{number}"), task("x")).await;
    }
    visible_to(&f, &stores[1]).await;
    for store in &stores {
        let events = read(store, &all(), Position::default(), 10).await;
        assert_eq!(jobs(&events), ["old", "new-0", "new-1"]);
        let moved = Position {
            tx: cursor.tx + 1_000_000_000,
            ..cursor
        };
        assert_eq!(read(store, &all(), moved, 10).await, events[1..]);
    }
}

pub(crate) async fn a_partition_that_commits_late_is_found(f: Fixture) {
    visible(&f).await;
    let start = f.store.events().end().await.unwrap();
    let late = late(&f, "late").await;
    let watched = [all().partition, PartitionId::new("other").unwrap()];
    let mut after = start;
    // Others poll and begin later, and commit before it. Their events cannot be read before it
    // ends, so nothing changed yet.
    for number in 0..3 {
        let other = new_job(name_in("other", &format!("more-{number}")), task("x"));
        f.store.create_job(other).await.unwrap();
        let look = f.store.changed_partitions(&watched, after, i64::MAX).await;
        let look = look.unwrap();
        assert_eq!(look.partitions, []);
        after = look.end;
    }
    late.commit().await.unwrap();
    visible(&f).await;
    let look = f.store.changed_partitions(&watched, after, i64::MAX).await;
    let mut changed = look.unwrap().partitions;
    changed.sort();
    assert_eq!(changed, watched);
}
