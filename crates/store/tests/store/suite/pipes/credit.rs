//! Windows and the credit of pipes.

use std::collections::BTreeMap;

use headway_domain::{
    Error, PartitionId,
    error::Action,
    events::Caller,
    jobs::Retention,
    partitions::{PartitionShare, Quota},
    pipes::{PipeLimits, Share},
    reports::ItemEvent,
};
use headway_store::StoreError;
use uuid::Uuid;

use crate::suite::{
    Fixture, PIPE,
    audit::audit,
    batch,
    driver::{Driver, Started, Tree, flat},
    name, name_in, new_job, task,
};

impl Driver {
    /// Gives a job all the credit there is.
    pub(crate) async fn take_credit(&mut self, job: &Started) {
        let committed = self
            .store
            .set_shares(&[(job.key, Share::of(u32::MAX))])
            .await
            .unwrap();
        self.take(committed);
    }
}

pub(crate) async fn hungry_pipes_and_allowance(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let big = driver.create(batch(), Tree::new(flat(200))).await;
    let small = driver.create(task("x"), Tree::new(Vec::new())).await;
    assert_eq!(driver.job(&small).await.counts.unreleased, 0);
    driver.take(
        f.store
            .set_shares(&[(big.key, Share::of(5))])
            .await
            .unwrap(),
    );
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 6);
    let rates = BTreeMap::from([(PIPE.to_owned(), 12.5)]);
    f.store
        .pipes()
        .publish_rates(Uuid::new_v4(), &rates, 1_000_000)
        .await
        .unwrap();
    let pipes = f.store.pipes().hungry().await.unwrap();
    assert_eq!(pipes.len(), 1);
    assert_eq!((pipes[0].pipe.as_str(), pipes[0].rate), (PIPE, 12.5));
    assert_eq!(pipes[0].jobs.len(), 1, "the task has all it wants");
    assert_eq!(pipes[0].jobs[0].job_key, big.key);
    assert_eq!(pipes[0].jobs[0].allowance, 5);
    assert_eq!(pipes[0].jobs[0].partition_id, "acme");
    assert_eq!(pipes[0].jobs[0].in_flight, 5);
    assert_eq!(pipes[0].jobs[0].items_per_message, 1);

    let same = f
        .store
        .set_shares(&[(big.key, Share::of(5))])
        .await
        .unwrap();
    assert!(same.changes.is_empty());
    driver.take(
        f.store
            .set_shares(&[(big.key, Share::of(50))])
            .await
            .unwrap(),
    );
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 51);
    // Less than what is out takes nothing back, and releases nothing.
    driver.take(
        f.store
            .set_shares(&[(big.key, Share::of(0))])
            .await
            .unwrap(),
    );
    let tasks = driver.take_tasks();
    driver.answer(&tasks[..40], |_| ItemEvent::Done).await;
    driver.pump().await;
    assert!(driver.tasks.is_empty());
    audit(&f, big.uid).await;
    driver.take_credit(&big).await;
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 150);
    assert!(f.store.pipes().hungry().await.unwrap().is_empty());
    driver.tasks.extend(tasks);
    let ended = driver.finish_well(&big).await;
    assert_eq!(ended.counts.done, 200);
    assert!(
        f.store
            .set_shares(&[(1, Share::of(7))])
            .await
            .unwrap()
            .changes
            .is_empty()
    );
}

pub(crate) async fn rates_add_up_and_fade(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 1;
    driver.begin(spec, Tree::new(flat(3))).await;
    let rate = async |f: &Fixture| f.store.pipes().hungry().await.unwrap()[0].rate;
    assert_eq!(rate(&f).await, 0.0);
    let hour = 3_600_000_000;
    let owners = [Uuid::new_v4(), Uuid::new_v4()];
    for (owner, measured) in owners.iter().zip([10.0, 5.0]) {
        let rates = BTreeMap::from([(PIPE.to_owned(), measured), ("other".to_owned(), 1.0)]);
        f.store
            .pipes()
            .publish_rates(*owner, &rates, hour)
            .await
            .unwrap();
    }
    assert_eq!(rate(&f).await, 15.0);
    let rates = BTreeMap::from([(PIPE.to_owned(), 7.0)]);
    f.store
        .pipes()
        .publish_rates(owners[1], &rates, hour)
        .await
        .unwrap();
    assert_eq!(rate(&f).await, 17.0);
    // One falls silent.
    f.sql(format!(
        "UPDATE pipe_rate SET updated = updated - {} WHERE rate = 10.0",
        2 * hour
    ))
    .await;
    f.store
        .pipes()
        .publish_rates(owners[1], &rates, hour)
        .await
        .unwrap();
    assert_eq!(rate(&f).await, 7.0);
}

/// A new job begins with what its pipe drains, unless others want more of it.
pub(crate) async fn first_allowances(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let rates = BTreeMap::from([(PIPE.to_owned(), 10_000.0)]);
    let hour = 3_600_000_000;
    let owner = Uuid::new_v4();
    f.store
        .pipes()
        .publish_rates(owner, &rates, hour)
        .await
        .unwrap();
    let first = driver.create(batch(), Tree::new(flat(3))).await;
    assert_eq!(driver.job(&first).await.allowance, 5000);
    let second = driver.create(batch(), Tree::new(flat(3))).await;
    assert_eq!(
        driver.job(&second).await.allowance,
        128,
        "the first one has it"
    );
    // Known again: and still the first one is hungry.
    let store = f.another().await;
    let mut other = Driver::new(&store);
    let third = other.create(batch(), Tree::new(flat(3))).await;
    assert_eq!(other.job(&third).await.allowance, 128);
    driver.finish_well(&first).await;
    driver.finish_well(&second).await;
    other.finish_well(&third).await;
}

/// New jobs of a pipe with limits, and jobs that begin to send again, wait for their share.
pub(crate) async fn pipes_with_limits(f: Fixture) {
    let pipe = headway_domain::PipeName::new(PIPE).unwrap();
    let limits = PipeLimits {
        in_flight: Some(7),
        per_second: None,
    };
    f.store
        .pipes()
        .set_limits(&pipe, &limits, None, &Caller::default())
        .await
        .unwrap();
    assert_eq!(f.store.pipes().limits(&pipe).await.unwrap(), limits);
    let store = f.another().await;
    let mut driver = Driver::new(&store);
    let job = driver.create(batch(), Tree::new(flat(20))).await;
    driver.pump().await;
    assert!(driver.tasks.is_empty());
    assert_eq!(driver.job(&job).await.counts.unreleased, 20);
    let pipes = store.pipes().hungry().await.unwrap();
    assert_eq!((pipes[0].limits, pipes[0].reserved), (limits, 0));
    assert_eq!(
        (pipes[0].jobs[0].allowance, pipes[0].jobs[0].ready),
        (0, 20)
    );
    driver.take(store.set_shares(&[(job.key, Share::of(5))]).await.unwrap());
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 5);
    let caller = headway_domain::events::Caller::default();
    for action in [Action::Pause, Action::Resume] {
        let controlled = store.control_job(&job.name, action, &caller).await;
        driver.take(controlled.unwrap().committed);
    }
    assert_eq!(driver.job(&job).await.allowance, 0);
    // What another has out that wants no more is told of.
    let small = driver.create(task("x"), Tree::new(Vec::new())).await;
    driver.take(
        store
            .set_shares(&[(small.key, Share::of(1))])
            .await
            .unwrap(),
    );
    driver.pump().await;
    let pipes = store.pipes().hungry().await.unwrap();
    assert_eq!((pipes[0].jobs.len(), pipes[0].reserved), (1, 1));
    let none = PipeLimits::default();
    store
        .pipes()
        .set_limits(&pipe, &none, None, &Caller::default())
        .await
        .unwrap();
    assert!(store.pipes().all_limits().await.unwrap().is_empty());
    driver.take_credit(&job).await;
    driver.finish_well(&small).await;
    driver.finish_well(&job).await;
}

pub(crate) async fn partitions_with_quotas(f: Fixture) {
    let partition = PartitionId::new("acme").unwrap();
    let share = PartitionShare {
        weight: 7,
        open_jobs: Some(2),
        in_flight: Some(30),
    };
    let kept = Retention::default();
    f.store
        .partitions()
        .update(&partition, &kept, &share, None, &Caller::default())
        .await
        .unwrap();
    assert_eq!(
        f.store.partitions().get(&partition).await.unwrap().share,
        share
    );
    let store = f.another().await;
    let mut driver = Driver::new(&store);
    let first = driver.create(batch(), Tree::new(flat(40))).await;
    let second = driver.create(batch(), Tree::new(flat(5))).await;
    let refused = store
        .create_job(new_job(name("third"), batch()))
        .await
        .unwrap_err();
    let StoreError::Domain(Error::QuotaExceeded { quota, limit, .. }) = refused else {
        panic!("{refused}");
    };
    assert_eq!((quota, limit), (Quota::OpenJobs, 2));
    driver.take_credit(&second).await;
    driver.finish_well(&second).await;
    driver.take(
        store
            .set_shares(&[(first.key, Share::of(30))])
            .await
            .unwrap(),
    );
    driver.pump().await;
    let uses = store.partitions().uses().await.unwrap();
    assert_eq!((uses["acme"].share.weight, uses["acme"].in_flight), (7, 30));
    let refused = store
        .create_job(new_job(name("third"), batch()))
        .await
        .unwrap_err();
    let StoreError::Domain(Error::QuotaExceeded { quota, limit, .. }) = refused else {
        panic!("{refused}");
    };
    assert_eq!((quota, limit), (Quota::InFlight, 30));
    driver.finish_well(&first).await;
    store
        .create_job(new_job(name("third"), batch()))
        .await
        .unwrap();
}

pub(crate) async fn tokens_are_spent(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 1;
    let job = driver.begin(spec, Tree::new(flat(20))).await;
    let update = headway_domain::jobs::JobUpdate {
        max_in_flight: Some(100),
        ..Default::default()
    };
    let grant = |grant| {
        let allowance = 1;
        [(job.key, Share { allowance, grant })]
    };
    driver.take(f.store.set_shares(&grant(Some(3))).await.unwrap());
    let caller = headway_domain::events::Caller::default();
    let wider = f.store.update_job(&job.name, update, &caller).await;
    driver.take(wider.unwrap().committed);
    let share = Share {
        allowance: 100,
        grant: Some(1),
    };
    driver.take(f.store.set_shares(&[(job.key, share)]).await.unwrap());
    driver.pump().await;
    assert_eq!(
        driver.tasks.len(),
        5,
        "one before, and four that were granted"
    );
    assert_eq!(driver.job(&job).await.tokens, Some(0));
    assert_eq!(
        f.store.pipes().hungry().await.unwrap()[0].jobs[0].tokens,
        Some(0)
    );
    // Without a limit nothing is counted.
    driver.take_credit(&job).await;
    assert_eq!(driver.job(&job).await.tokens, None);
    driver.finish_well(&job).await;
}

/// However many jobs want more of a pipe, those of each partition are seen, the most important
/// first.
pub(crate) async fn nobody_is_hidden_by_many(f: Fixture) {
    let job = |partition: &str, id: String, priority: u32| {
        let mut new = new_job(name_in(partition, &id), task("x"));
        new.spec.priority = priority;
        new
    };
    let mut creations = tokio::task::JoinSet::new();
    for n in 0..5000 {
        let (store, new) = (f.store.clone(), job("crowd", format!("c{n}"), 4));
        creations.spawn(async move { store.create_job(new).await });
        // No more at once than are taken.
        if n % 200 == 199 {
            while let Some(created) = creations.join_next().await {
                created.unwrap().unwrap();
            }
        }
    }
    for new in [
        job("crowd", "urgent".to_owned(), 9),
        job("lonely", "late".to_owned(), 4),
    ] {
        f.store.create_job(new).await.unwrap();
    }
    f.sql("UPDATE job_progress SET hungry = 1").await;
    let pipes = f.store.pipes().hungry().await.unwrap();
    assert_eq!(pipes.len(), 1);
    let jobs = &pipes[0].jobs;
    let (crowd, lonely): (Vec<_>, Vec<_>) =
        jobs.iter().partition(|job| job.partition_id == "crowd");
    assert_eq!((crowd.len(), lonely.len()), (2048, 1));
    assert_eq!(crowd.iter().map(|job| job.priority).max(), Some(9));
}
