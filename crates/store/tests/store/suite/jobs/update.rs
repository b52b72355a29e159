//! Specs that change.

use headway_domain::{PartitionId, events::Caller, jobs::JobUpdate, pipes::Share};
use headway_store::JobFilter;

use crate::suite::{
    Fixture, batch,
    driver::{Driver, Tree, flat},
};

fn wider(window: u32) -> JobUpdate {
    JobUpdate {
        max_in_flight: Some(window),
        ..JobUpdate::default()
    }
}

/// What a process remembers of a job is read again once it was changed elsewhere.
pub(crate) async fn other_processes_hear_of_it(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 1;
    let job = driver.begin(spec, Tree::new(flat(20))).await;
    assert_eq!(driver.tasks.len(), 1);
    let other = f.another().await;
    let update = |window| async move { (window, Caller::default()) };
    let (window, caller) = update(5).await;
    let changed = other.update_job(&job.name, wider(window), &caller).await;
    driver.take(changed.unwrap().committed);
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 5);
    // This process goes by the new window, whatever it knew.
    let share = Share::of(1000);
    driver.take(f.store.set_shares(&[(job.key, share)]).await.unwrap());
    assert_eq!(driver.job(&job).await.meta.spec.max_in_flight, 5);
    let (window, caller) = update(12).await;
    let changed = other.update_job(&job.name, wider(window), &caller).await;
    driver.take(changed.unwrap().committed);
    let state = f.store.job_state(job.uid).await.unwrap().unwrap();
    assert_eq!(state.job.meta.spec.max_in_flight, 12);
    let states = f.store.job_states(&[job.uid]).await.unwrap().views;
    assert_eq!(states[&job.uid].job.meta.version, 2);
    let ended = driver.finish_well(&job).await;
    assert_eq!(ended.counts.done, 20);
}

pub(crate) async fn lists_and_credit_hear_of_it(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 3;
    let job = driver.begin(spec, Tree::new(flat(20))).await;
    let update = JobUpdate {
        priority: Some(8),
        labels: Some([("team".to_owned(), "red".to_owned())].into()),
        ..wider(4)
    };
    let caller = Caller::default();
    let changed = f.store.update_job(&job.name, update.clone(), &caller).await;
    driver.take(changed.unwrap().committed);
    let same = f
        .store
        .update_job(&job.name, update, &caller)
        .await
        .unwrap();
    assert!(same.committed.changes.is_empty());
    let pipes = f.store.pipes().hungry().await.unwrap();
    assert_eq!(
        (pipes[0].jobs[0].priority, pipes[0].jobs[0].max_in_flight),
        (8, 4)
    );
    let filter = JobFilter {
        labels: [("team".to_owned(), "red".to_owned())].into(),
        ..JobFilter::default()
    };
    let partition = PartitionId::new("acme").unwrap();
    let list = f
        .store
        .list_jobs(&partition, &filter, None, 10)
        .await
        .unwrap();
    assert_eq!(list.jobs.len(), 1);
    assert_eq!(list.jobs[0].job.meta.spec.priority, 8);
    driver.finish_well(&job).await;
}
