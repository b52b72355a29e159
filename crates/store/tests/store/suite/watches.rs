//! What watches read: many states at once, and which jobs and partitions have changed.

use headway_domain::{
    JobUid, PartitionId,
    events::Caller,
    reports::{Failed, ItemEvent},
};
use headway_store::{Position, StoreError};
use uuid::Uuid;

use crate::suite::{
    Fixture, acme, batch,
    create::accept,
    driver::{Driver, Tree, flat},
    events::visible,
    name, name_in, new_job, task,
};

pub(crate) async fn states_of_many_jobs(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut uids = Vec::new();
    for number in 0..5 {
        let job = accept(&f.store, &format!("j{number}"), task("x")).await;
        uids.push(job.view.job.meta.uid);
    }
    let failing = driver.begin(batch(), Tree::new(flat(30))).await;
    let no = |_: &_| ItemEvent::Failed(Failed::lasting("E", "no"));
    driver.finish(&failing, no).await;
    f.store
        .delete_job(&name("j3"), &Caller::default())
        .await
        .unwrap();
    let gone = uids.remove(3);
    uids.push(failing.uid);
    // Of a handle that knows them and of one that does not.
    for store in [f.store.clone(), f.another().await] {
        let mut asked = uids.clone();
        asked.extend([gone, JobUid(Uuid::from_u128(9)), uids[0]]);
        let states = store.job_states(&asked).await.unwrap().views;
        assert_eq!(states.len(), uids.len());
        for uid in &uids {
            let alone = store.job_state(*uid).await.unwrap().unwrap();
            assert_eq!(states[uid].job, alone.job);
            assert_eq!(states[uid].failures, alone.failures);
        }
        assert_eq!(states[&failing.uid].failures.len(), 10);
        assert!(store.job_states(&[]).await.unwrap().views.is_empty());
    }
}

pub(crate) async fn changed_jobs_of_a_partition(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let settled = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&settled).await;
    let live = driver.begin(batch(), Tree::new(flat(3))).await;
    let other = new_job(name_in("other", "x"), task("x"));
    f.store.create_job(other).await.unwrap();
    let job = driver.job(&live).await;
    let changed = f
        .store
        .changed_jobs(&acme(), job.updated, 100)
        .await
        .unwrap();
    assert!(changed.contains(&(live.uid, job.revision)));
    assert!(changed.iter().all(|(uid, _)| *uid != settled.uid));
    let later = f
        .store
        .changed_jobs(&acme(), job.updated + 1, 100)
        .await
        .unwrap();
    assert!(later.iter().all(|(uid, _)| *uid != live.uid));
    assert_eq!(f.store.changed_jobs(&acme(), 0, 0).await.unwrap(), []);
}

pub(crate) async fn changed_partitions(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let settled = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&settled).await;
    let live = new_job(name_in("live", "x"), task("x"));
    let live = f.store.create_job(live).await.unwrap().view.job;
    visible(&f).await;
    let end = f.store.events().end().await.unwrap();
    // More than a statement takes as single parameters.
    let absent = (0..40_000).map(|number| format!("absent-{number}"));
    let names = ["acme", "live"].map(str::to_owned);
    let watched: Vec<PartitionId> = names
        .into_iter()
        .chain(absent)
        .map(|name| PartitionId::new(name).unwrap())
        .collect();
    let changed = async |watched: &[PartitionId], after, since| {
        let changed = f.store.changed_partitions(watched, after, since).await;
        let changed = changed.unwrap();
        let mut names: Vec<_> = changed.partitions.iter().map(ToString::to_string).collect();
        names.sort();
        (names, changed.end)
    };
    let nothing = changed(&watched, end, live.updated + 1).await;
    assert_eq!(nothing.0, [""; 0]);
    assert!(nothing.1 >= end);
    assert_eq!(changed(&[], end, 0).await.0, [""; 0]);
    // A settled job has said everything in the audit log.
    assert_eq!(changed(&watched, end, live.updated).await.0, ["live"]);
    assert_eq!(changed(&watched, end, 0).await.0, ["live"]);

    accept(&f.store, "another", task("x")).await;
    visible(&f).await;
    let (names, next) = changed(&watched, end, i64::MAX).await;
    assert_eq!(names, ["acme"]);
    assert_eq!(changed(&watched[1..], end, i64::MAX).await.0, [""; 0]);
    assert_eq!(changed(&watched, next, i64::MAX).await.0, [""; 0]);

    let beyond = Position {
        tx: next.tx + 1_000_000,
        ..next
    };
    let expired = f.store.changed_partitions(&watched, beyond, 0).await;
    assert!(matches!(expired, Err(StoreError::CursorExpired { .. })));
    // The events between the two looks go too.
    accept(&f.store, "last", task("x")).await;
    visible(&f).await;
    while f.store.events().expire(i64::MAX).await.unwrap() {}
    let expired = f.store.changed_partitions(&watched, next, 0).await;
    assert!(matches!(expired, Err(StoreError::CursorExpired { .. })));
}
