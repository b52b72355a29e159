//! Delays, leases and items that kill their workers.

use headway_domain::{
    JobState,
    error::Action,
    reports::{Failed, ItemEvent, code},
};

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, SESSION, Started, Task, Tree, flat},
    failures::failure,
};

const HOUR: i64 = 3_600_000_000;

fn passing() -> ItemEvent {
    ItemEvent::Failed(Failed {
        retryable: true,
        ..failure("BUSY", "try again")
    })
}

impl Driver {
    /// The next timer or lease of a job's shard.
    async fn due(&self, job: &Started) -> Option<i64> {
        let shard = self.job(job).await.meta.shard;
        self.store.next_due(shard).await.unwrap().first()
    }

    /// Fires the timers of a job's shard and sends what they release.
    async fn fire_shard(&mut self, job: &Started) {
        let shard = self.job(job).await.meta.shard;
        let (committed, more) = self.store.fire_items(shard, i64::MAX).await.unwrap();
        assert!(!more);
        self.take(committed);
        self.pump().await;
    }
}

pub(crate) async fn retry_with_delay(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.retry_policy.max_attempts = 3;
    let job = driver.begin(spec, Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    driver.say(&tasks[0], ItemEvent::Done).await;
    let mut tried = tasks[1].clone();
    for failures in 1..3 {
        driver.say(&tried, passing()).await;
        let delayed = driver.job(&job).await.counts;
        assert_eq!((delayed.delayed, delayed.failed), (1, 0));
        audit(&f, job.uid).await;
        // While it waits, nothing said about it counts.
        assert_eq!(driver.say(&tried, ItemEvent::Done).await.applied, 0);
        assert!(driver.due(&job).await.is_some());
        driver.await_clock().await;
        driver.fire_shard(&job).await;
        let again = driver.tasks.pop_front().unwrap();
        assert_eq!(again.failures, failures);
        assert_eq!(again.attempt, tried.attempt + 1);
        assert_eq!(driver.say(&tried, ItemEvent::Done).await.applied, 0);
        assert_eq!(driver.due(&job).await, None);
        audit(&f, job.uid).await;
        tried = again;
    }
    driver.say(&tried, passing()).await;
    let ended = driver.job(&job).await;
    assert_eq!((ended.state(), ended.counts.failed), (JobState::Failed, 1));
    let view = f.store.job(&job.name).await.unwrap();
    assert_eq!(view.failures.len(), 1);
    assert_eq!(view.failures[0].attempt, 3);
    assert_eq!(f.count("item").await, 0);
}

pub(crate) async fn delays_wait(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.retry_policy.initial_ms = 3_600_000;
    spec.retry_policy.max_ms = 3_600_000;
    spec.retry_policy.jitter = 0.0;
    let job = driver.begin(spec, Tree::new(flat(1))).await;
    let tasks = driver.take_tasks();
    let before = f.store.now();
    driver.answer(&tasks, |_| passing()).await;
    let due = driver.due(&job).await.unwrap();
    assert!((before + HOUR..=f.store.now() + HOUR).contains(&due));
    driver.fire_shard(&job).await;
    assert!(driver.tasks.is_empty());
    // Other shards have nothing to do with it.
    let shard = driver.job(&job).await.meta.shard;
    let all: Vec<u16> = (0..f.store.shards()).collect();
    let times = f.store.next_due_of_all(&all).await.unwrap();
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), all);
    for (other, times) in times {
        assert_eq!(times.first(), (other == shard).then_some(due));
    }
    f.sql(format!("UPDATE item SET due = due - {HOUR}")).await;
    driver.fire_shard(&job).await;
    assert_eq!(driver.tasks.len(), 1);
    assert_eq!(driver.finish_well(&job).await.counts.done, 1);
}

pub(crate) async fn lease_renewed_and_lost(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks, |_| ItemEvent::Leased).await;
    let first = driver.due(&job).await.unwrap();
    assert!(first > f.store.now() + HOUR / 2);
    driver.await_clock().await;
    let other = uuid::Uuid::from_u128(8);
    assert_eq!(f.store.renew_leases(other).await.unwrap(), 0);
    assert_eq!(driver.due(&job).await, Some(first));
    assert_eq!(f.store.renew_leases(SESSION).await.unwrap(), 2);
    assert!(driver.due(&job).await.unwrap() > first);
    driver.fire_shard(&job).await;
    assert!(driver.tasks.is_empty());
    // A leased item ends like any other.
    driver.say(&tasks[0], ItemEvent::Done).await;
    assert_eq!(f.store.renew_leases(SESSION).await.unwrap(), 1);
    // The other one's worker falls silent.
    f.sql(format!(
        "UPDATE item SET lease_until = lease_until - {}",
        2 * HOUR
    ))
    .await;
    driver.fire_shard(&job).await;
    let again = driver.tasks.pop_front().unwrap();
    assert_eq!((again.index, again.attempt), (1, 1));
    assert!(again.announced && !again.alone, "its worker died once");
    assert_eq!(f.store.renew_leases(SESSION).await.unwrap(), 0);
    assert_eq!(driver.say(&tasks[1], ItemEvent::Done).await.applied, 0);
    audit(&f, job.uid).await;
    driver.tasks.push_back(again);
    let ended = driver.finish_well(&job).await;
    assert_eq!((ended.state(), ended.counts.done), (JobState::Completed, 2));
}

pub(crate) async fn leases_end_in_poison(f: Fixture) {
    let mut driver = Driver::new(&f.hasty().await);
    let job = driver.begin(batch(), Tree::new(flat(1))).await;
    for lost in 0..3 {
        let tasks = driver.take_tasks();
        assert_eq!(tasks.len(), 1, "after {lost} lost leases");
        driver.answer(&tasks, |_| ItemEvent::Leased).await;
        driver.await_clock().await;
        driver.fire_shard(&job).await;
    }
    assert!(driver.tasks.is_empty());
    let view = f.store.job(&job.name).await.unwrap();
    assert_eq!(view.job.state(), JobState::Failed);
    assert_eq!(view.failures[0].code, code::POISON);
    audit(&f, job.uid).await;
}

/// Plays one redelivery: the worker died of the item, the next one gets the message a second time.
async fn die(driver: &mut Driver, task: &Task) -> Option<Task> {
    driver.say(task, ItemEvent::Suspect).await;
    driver.pump().await;
    driver.tasks.pop_front()
}

pub(crate) async fn suspects_end_in_poison(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(1))).await;
    let mut task = driver.tasks.pop_front().unwrap();
    let mut starts = 0;
    while let Some(again) = die(&mut driver, &task).await {
        // Beside others after one death, alone after two.
        assert_eq!((again.announced, again.alone), (true, starts == 1));
        assert_eq!(again.attempt, task.attempt + 1);
        assert_eq!(driver.say(&again, ItemEvent::Started).await.applied, 1);
        // A confirmed `started` may come twice.
        assert_eq!(driver.say(&again, ItemEvent::Started).await.applied, 0);
        audit(&f, job.uid).await;
        starts += 1;
        task = again;
    }
    // The first start is not announced; with these it is the third.
    assert_eq!(starts, 2);
    let view = f.store.job(&job.name).await.unwrap();
    assert_eq!(view.job.state(), JobState::Failed);
    assert_eq!(view.failures[0].code, code::POISON);
    assert_eq!(f.count("item").await, 0);
}

pub(crate) async fn a_suspect_may_survive(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(1))).await;
    let task = driver.tasks.pop_front().unwrap();
    let again = die(&mut driver, &task).await.unwrap();
    driver.say(&again, ItemEvent::Started).await;
    assert_eq!(driver.say(&task, ItemEvent::Done).await.applied, 0);
    assert_eq!(driver.say(&again, ItemEvent::Done).await.applied, 1);
    assert_eq!(driver.job(&job).await.state(), JobState::Completed);
    audit(&f, job.uid).await;
}

/// Delayed and leased items of a cancelled job, and of the run after it.
pub(crate) async fn timers_of_a_cancelled_job(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.retry_policy.initial_ms = 3_600_000;
    spec.retry_policy.max_ms = 3_600_000;
    let job = driver.begin(spec, Tree::new(flat(3))).await;
    let tasks = driver.take_tasks();
    driver.say(&tasks[0], passing()).await;
    driver.say(&tasks[1], ItemEvent::Leased).await;
    driver.say(&tasks[2], ItemEvent::Done).await;
    driver.control(&job, Action::Cancel).await;
    audit(&f, job.uid).await;
    assert!(driver.job(&job).await.settled.is_none(), "one is leased");
    f.sql(format!(
        "UPDATE item SET lease_until = lease_until - {} WHERE lease_until > 0",
        2 * HOUR
    ))
    .await;
    driver.fire_shard(&job).await;
    let settled = driver.job(&job).await;
    assert!(settled.settled.is_some());
    assert_eq!(settled.counts.discarded, 1);
    audit(&f, job.uid).await;
    // The delay of the older run must not fire into the next one.
    driver.control(&job, Action::Retry).await;
    audit(&f, job.uid).await;
    f.sql(format!(
        "UPDATE item SET due = due - {} WHERE due > 0",
        2 * HOUR
    ))
    .await;
    driver.fire_shard(&job).await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 2);
    assert!(tasks.iter().all(|task| task.run == 1));
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    let ended = driver.job(&job).await;
    assert_eq!((ended.state(), ended.counts.done), (JobState::Completed, 3));
    assert_eq!(driver.due(&job).await, None);
    audit(&f, job.uid).await;
}
