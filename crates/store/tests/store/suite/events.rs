//! The audit log.

use headway_domain::{
    JobState, PartitionId,
    error::Action,
    events::{Caller, EventKind},
    reports::{Failed, ItemEvent},
};
use headway_store::{EventQuery, EventRow, Position, Store, StoreError};

use crate::suite::{
    Fixture, batch,
    create::accept,
    driver::{Driver, Tree, flat},
    name_in, new_job, task,
};

pub(crate) fn all() -> EventQuery {
    EventQuery {
        partition: PartitionId::new("acme").unwrap(),
        job: None,
        kinds: Vec::new(),
    }
}

/// Returns once everything that is committed by now can be read: on PostgreSQL transactions of
/// others, also of other tests, may be older and still run.
pub(crate) async fn visible(f: &Fixture) {
    visible_to(f, &f.store).await;
}

/// The same for a handle on tables that were filled again after the fixture's own was made.
pub(crate) async fn visible_to(f: &Fixture, store: &Store) {
    if !f.is_postgres() {
        return;
    }
    let sql = "SELECT pg_current_xact_id()::text::bigint AS value";
    let now = f.ints(sql).await[0];
    let offset = "SELECT COALESCE(MAX(value::bigint), 0) AS value FROM setting WHERE name = 'event_tx_offset'";
    let now = now + f.ints(offset).await[0];
    while store.events().end().await.unwrap().tx < now {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Everything after a position, by pages of this size.
pub(crate) async fn read(
    store: &Store,
    query: &EventQuery,
    mut after: Position,
    size: u32,
) -> Vec<EventRow> {
    let mut read: Vec<EventRow> = Vec::new();
    loop {
        let page = store.events().list(query, after, size).await.unwrap();
        assert!(page.next >= after, "a cursor goes back");
        let places = page.events.iter().map(|event| event.position);
        assert!(places.is_sorted_by(|a, b| a < b), "out of order");
        assert!(page.events.iter().all(|event| event.position > after));
        read.extend(page.events);
        after = page.next;
        if !page.more {
            return read;
        }
    }
}

fn kinds(events: &[EventRow]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

pub(crate) async fn a_life_in_events(f: Fixture) {
    use EventKind::{
        BatchSplit, Cancelled, Created, Deleted, FailureRecorded, Paused, Resumed, Retried,
        Settled, Started,
    };
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(6)).in_pages_of(3))
        .await;
    let ada = Caller {
        user: "ada".to_owned(),
        correlation: "call-2".to_owned(),
    };
    for action in [Action::Pause, Action::Pause, Action::Resume] {
        let done = f.store.control_job(&job.name, action, &ada).await.unwrap();
        driver.take(done.committed);
    }
    let no = |_: &_| ItemEvent::Failed(Failed::lasting("E", "it cannot be read"));
    driver.finish(&job, no).await;
    driver.control(&job, Action::Retry).await;
    driver.pump().await;
    driver.control(&job, Action::Cancel).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks, |_| ItemEvent::Discarded).await;
    let deleted = f.store.delete_job(&job.name, &ada).await.unwrap();
    visible(&f).await;
    let events = read(&f.store, &all(), Position::default(), 100).await;
    let seen = kinds(&events);
    let expected = [
        Created,
        Started,
        BatchSplit,
        Paused,
        Resumed,
        FailureRecorded,
    ];
    assert_eq!(seen[..6], expected, "{seen:?}");
    let rest: Vec<_> = seen[6..]
        .iter()
        .filter(|kind| **kind != FailureRecorded)
        .collect();
    assert_eq!(
        rest,
        [&EventKind::Failed, &Retried, &Cancelled, &Settled, &Deleted]
    );

    let created = &events[0];
    assert_eq!(
        (created.uid, &created.name),
        (job.uid, &Some(job.name.clone()))
    );
    assert_eq!(
        (created.actor.as_str(), created.correlation.as_str()),
        ("somebody", "call-1")
    );
    assert_eq!(created.state, Some(JobState::Waiting));
    assert_eq!((events[2].batch, events[2].items), (Some(1), 6));
    assert_eq!(events[1].actor, "", "nobody started it");
    assert_eq!(events[3].actor, "ada");
    assert_eq!(events[5].message, "E: it cannot be read");
    let last = events.last().unwrap();
    assert_eq!((last.correlation.as_str(), last.run), ("call-2", 1));
    assert_eq!(deleted.changes[0].revision, last.revision);
    assert!(events.iter().map(|event| event.revision).is_sorted());
    assert_eq!(
        f.store.events().last_uid(&job.name).await.unwrap(),
        Some(job.uid)
    );
}

pub(crate) async fn pages_and_queries(f: Fixture) {
    for number in 0..10 {
        accept(&f.store, &format!("j{number}"), task("x")).await;
    }
    let other = new_job(name_in("other", "j0"), task("x"));
    f.store.create_job(other).await.unwrap();
    visible(&f).await;
    let whole = read(&f.store, &all(), Position::default(), 1000).await;
    assert_eq!(whole.len(), 20, "two of each job of this partition");
    for size in [1, 3, 20] {
        let paged = read(&f.store, &all(), Position::default(), size).await;
        assert_eq!(paged, whole);
    }
    let half = whole[9].position;
    assert_eq!(read(&f.store, &all(), half, 4).await, whole[10..]);
    let started = EventQuery {
        kinds: vec![EventKind::Started, EventKind::Deleted],
        ..all()
    };
    let started = read(&f.store, &started, Position::default(), 3).await;
    assert_eq!(kinds(&started), [EventKind::Started; 10]);
    let one = &whole[7];
    let of_one = EventQuery {
        job: one.name.clone().map(|name| (name.job, one.uid)),
        ..all()
    };
    let of_one = read(&f.store, &of_one, Position::default(), 1).await;
    assert!(of_one.len() == 2 && of_one.iter().all(|event| event.uid == one.uid));
    // A cursor beyond the end is of another past.
    let end = f.store.events().end().await.unwrap();
    let beyond = Position {
        tx: end.tx + 1_000_000,
        ..end
    };
    let refused = f.store.events().list(&all(), beyond, 10).await;
    assert!(matches!(refused, Err(StoreError::CursorExpired { .. })));
    // From the end on there is only what comes.
    let end = f.store.events().end().await.unwrap();
    assert!(end >= whole[19].position);
    accept(&f.store, "later", task("x")).await;
    visible(&f).await;
    let later = read(&f.store, &all(), end, 10).await;
    assert_eq!(kinds(&later), [EventKind::Created, EventKind::Started]);
}

pub(crate) async fn what_is_old_is_removed(f: Fixture) {
    accept(&f.store, "old", task("x")).await;
    visible(&f).await;
    let old = read(&f.store, &all(), Position::default(), 10).await;
    let quiet = EventQuery {
        partition: PartitionId::new("quiet").unwrap(),
        ..all()
    };
    let before = f
        .store
        .events()
        .list(&quiet, Position::default(), 10)
        .await
        .unwrap();
    f.sql("UPDATE event SET recorded = 5").await;
    accept(&f.store, "new", task("x")).await;
    visible(&f).await;
    while f.store.events().expire(6).await.unwrap() {}
    let kept = read(&f.store, &all(), Position::default(), 10).await;
    assert!(
        kept.len() == 2
            && kept
                .iter()
                .all(|event| event.name.as_ref().unwrap().job.as_str() == "new")
    );
    let expired = f.store.events().list(&all(), old[0].position, 10).await;
    let Err(StoreError::CursorExpired { earliest }) = expired else {
        panic!("{expired:?}")
    };
    assert_eq!(read(&f.store, &all(), earliest, 10).await, kept);
    // Whoever saw the last one that was removed missed nothing, nor did who follows a quiet
    // partition.
    assert_eq!(read(&f.store, &all(), old[1].position, 10).await, kept);
    assert_eq!(read(&f.store, &quiet, before.next, 10).await, []);
    // Everything goes, and the log goes on.
    while f.store.events().expire(i64::MAX).await.unwrap() {}
    assert_eq!(f.count("event").await, 0);
    let end = f.store.events().end().await.unwrap();
    assert!(end >= kept[1].position);
    accept(&f.store, "newer", task("x")).await;
    visible(&f).await;
    assert_eq!(read(&f.another().await, &all(), end, 10).await.len(), 2);
    assert_eq!(
        f.store
            .events()
            .last_uid(kept[0].name.as_ref().unwrap())
            .await
            .unwrap(),
        Some(kept[0].uid)
    );
}

pub(crate) async fn failures_are_told_of_less_and_less(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(1300))).await;
    let mut all_of_it = 0;
    while all_of_it < 1300 {
        driver.pump().await;
        let tasks = driver.take_tasks();
        for some in tasks.chunks(50) {
            let no = |_: &_| ItemEvent::Failed(Failed::lasting("E", "no"));
            driver.answer(some, no).await;
            all_of_it += some.len();
        }
    }
    let query = EventQuery {
        kinds: vec![EventKind::FailureRecorded],
        job: Some((job.name.job.clone(), job.uid)),
        ..all()
    };
    visible(&f).await;
    let told = read(&f.store, &query, Position::default(), 100).await;
    // The first hundred and three doublings, whatever the sizes of the commits.
    let items: Vec<_> = told.iter().map(|event| event.items).collect();
    assert!(items.len() >= 2 && items.len() <= 6, "{items:?}");
    assert_eq!(driver.job(&job).await.counts.failures, 1300);
}

pub(crate) async fn rare_kinds_are_found_in_bounded_steps(f: Fixture) {
    let job = accept(&f.store, "j", task("x")).await;
    f.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) \
         INSERT INTO event (uid, partition_id, job_id, kind, state, revision, run, actor, correlation, message, batch, items, recorded) \
         SELECT uid, partition_id, job_id, 3, state, revision, run, actor, correlation, message, batch, items, recorded \
         FROM event CROSS JOIN n WHERE kind = 1",
    )
    .await;
    let name = &job.view.job.meta.name;
    f.store.delete_job(name, &Caller::default()).await.unwrap();
    visible(&f).await;
    let rare = EventQuery {
        kinds: vec![EventKind::Deleted],
        ..all()
    };
    let first = f
        .store
        .events()
        .list(&rare, Position::default(), 10)
        .await
        .unwrap();
    assert!(
        first.events.is_empty() && first.more,
        "it is beyond what one call looks at"
    );
    let found = read(&f.store, &rare, Position::default(), 10).await;
    assert_eq!(kinds(&found), [EventKind::Deleted]);
}
