//! Windows and the credit of pipes.

use std::collections::BTreeMap;

use headway_domain::report::ItemEvent;
use uuid::Uuid;

use super::{
    Fixture, PIPE,
    audit::audit,
    batch,
    driver::{Driver, Started, Tree, flat},
    task,
};

impl Driver {
    /// Gives a job all the credit there is.
    pub async fn take_credit(&mut self, job: &Started) {
        let committed = self.store.set_allowance(job.key, u32::MAX).await.unwrap();
        self.take(committed);
    }
}

pub async fn hungry_pipes_and_allowance(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let big = driver.create(batch(), Tree::new(flat(200))).await;
    let small = driver.create(task("x"), Tree::new(Vec::new())).await;
    assert_eq!(driver.job(&small).await.counts.unreleased, 0);
    driver.take(f.store.set_allowance(big.key, 5).await.unwrap());
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 6);
    let rates = BTreeMap::from([(PIPE.to_owned(), 12.5)]);
    f.store
        .publish_rates(Uuid::new_v4(), &rates, 1_000_000)
        .await
        .unwrap();
    let pipes = f.store.hungry_pipes().await.unwrap();
    assert_eq!(pipes.len(), 1);
    assert_eq!((pipes[0].pipe.as_str(), pipes[0].rate), (PIPE, 12.5));
    assert_eq!(pipes[0].jobs.len(), 1, "the task has all it wants");
    assert_eq!(pipes[0].jobs[0].job_key, big.key);
    assert_eq!(pipes[0].jobs[0].allowance, 5);
    assert_eq!(pipes[0].jobs[0].partition_id, "acme");
    assert_eq!(pipes[0].jobs[0].in_flight, 5);
    assert_eq!(pipes[0].jobs[0].items_per_message, 1);

    let same = f.store.set_allowance(big.key, 5).await.unwrap();
    assert!(same.changes.is_empty());
    driver.take(f.store.set_allowance(big.key, 50).await.unwrap());
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 51);
    // Less than what is out takes nothing back, and releases nothing.
    driver.take(f.store.set_allowance(big.key, 0).await.unwrap());
    let tasks = driver.take_tasks();
    driver.answer(&tasks[..40], |_| ItemEvent::Done).await;
    driver.pump().await;
    assert!(driver.tasks.is_empty());
    audit(&f, big.uid).await;
    driver.take_credit(&big).await;
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 150);
    assert!(f.store.hungry_pipes().await.unwrap().is_empty());
    driver.tasks.extend(tasks);
    let ended = driver.finish_well(&big).await;
    assert_eq!(ended.counts.done, 200);
    assert!(
        f.store
            .set_allowance(1, 7)
            .await
            .unwrap()
            .changes
            .is_empty()
    );
}

pub async fn rates_add_up_and_fade(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 1;
    driver.begin(spec, Tree::new(flat(3))).await;
    let rate = async |f: &Fixture| f.store.hungry_pipes().await.unwrap()[0].rate;
    assert_eq!(rate(&f).await, 0.0);
    let hour = 3_600_000_000;
    let owners = [Uuid::new_v4(), Uuid::new_v4()];
    for (owner, measured) in owners.iter().zip([10.0, 5.0]) {
        let rates = BTreeMap::from([(PIPE.to_owned(), measured), ("other".to_owned(), 1.0)]);
        f.store.publish_rates(*owner, &rates, hour).await.unwrap();
    }
    assert_eq!(rate(&f).await, 15.0);
    let rates = BTreeMap::from([(PIPE.to_owned(), 7.0)]);
    f.store
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
        .publish_rates(owners[1], &rates, hour)
        .await
        .unwrap();
    assert_eq!(rate(&f).await, 7.0);
}

/// A new job begins with what its pipe drains, unless others want more of it.
pub async fn first_allowances(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let rates = BTreeMap::from([(PIPE.to_owned(), 10_000.0)]);
    let hour = 3_600_000_000;
    let owner = Uuid::new_v4();
    f.store.publish_rates(owner, &rates, hour).await.unwrap();
    let first = driver.create(batch(), Tree::new(flat(3))).await;
    assert_eq!(driver.job(&first).await.allowance, 5000);
    let second = driver.create(batch(), Tree::new(flat(3))).await;
    assert_eq!(
        driver.job(&second).await.allowance,
        128,
        "the first one has it"
    );
    // Known anew: and still the first one is hungry.
    let store = f.another().await;
    let mut other = Driver::new(&store);
    let third = other.create(batch(), Tree::new(flat(3))).await;
    assert_eq!(other.job(&third).await.allowance, 128);
    driver.finish_well(&first).await;
    driver.finish_well(&second).await;
    other.finish_well(&third).await;
}
