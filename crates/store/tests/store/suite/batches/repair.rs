//! What is made again when messages are lost.

use std::collections::BTreeSet;

use headway_domain::{
    JobState,
    error::Action,
    reports::{Failed, ItemEvent},
};
use headway_store::OutboxKind;
use uuid::Uuid;

use crate::suite::{
    Fixture, PIPE,
    audit::audit,
    batch,
    driver::{Driver, Node, Started, Tree, flat},
    failures::failure,
    task,
};

impl Driver {
    /// Makes again what rests on messages of a job that were sent up to now.
    pub(crate) async fn repair(&mut self, job: &Started) {
        let before = self.store.now() + 1;
        loop {
            let (committed, more) = self.store.repair_job(job.key, before).await.unwrap();
            self.take(committed);
            if !more {
                return;
            }
        }
    }
}

/// The keys of the silent jobs of a pipe, in whatever shard.
async fn silent_keys(f: &Fixture, pipe: &str, before: i64) -> Vec<i64> {
    let shards: Vec<u16> = (0..f.store.shards()).collect();
    let jobs = f.store.silent_jobs(pipe, before, &shards).await.unwrap();
    for job in &jobs {
        let others: Vec<u16> = shards
            .iter()
            .copied()
            .filter(|shard| *shard != job.shard)
            .collect();
        let elsewhere = f.store.silent_jobs(pipe, before, &others).await.unwrap();
        assert!(!elsewhere.contains(job));
    }
    jobs.into_iter().map(|job| job.key).collect()
}

/// A process stamps what it sends with the epoch that holds now, also when another process began
/// it.
pub(crate) async fn a_new_epoch_reaches_every_process(f: Fixture) {
    f.store.begin_epoch(None, Uuid::new_v4()).await.unwrap();
    let other = f.another().await;
    let mut driver = Driver::new(&other);
    let before = driver.begin(batch(), Tree::new(flat(4))).await;
    let unsplit = driver.create(batch(), Tree::new(flat(4))).await;
    let mark = f.store.epoch_mark().await.unwrap();
    f.store.begin_epoch(mark, Uuid::new_v4()).await.unwrap();
    let mut older = f.store.jobs_of_older_epochs().await.unwrap();
    older.sort_unstable();
    let mut expected = [before.key, unsplit.key];
    expected.sort_unstable();
    assert_eq!(older, expected);
    driver.create(task("x"), Tree::new(Vec::new())).await;
    driver.begin(batch(), Tree::new(flat(4))).await;
    driver.pump().await;
    // What was released by then was lost with the broker; all that came later is in the new one.
    assert_eq!(f.store.jobs_of_older_epochs().await.unwrap(), [before.key]);
}

pub(crate) async fn one_epoch_of_a_race(f: Fixture) {
    assert_eq!(f.store.epoch_mark().await.unwrap(), None);
    let mut seen = None;
    for _ in 0..2 {
        let mut beginning = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let store = f.another().await;
            beginning.spawn(async move { store.begin_epoch(seen, Uuid::new_v4()).await.unwrap() });
        }
        let mut marks = BTreeSet::new();
        while let Some(mark) = beginning.join_next().await {
            marks.insert(mark.unwrap());
        }
        assert_eq!(marks.len(), 1);
        let mark = marks.first().copied();
        assert_ne!(mark, seen);
        assert_eq!(f.store.epoch_mark().await.unwrap(), mark);
        seen = mark;
    }
}

pub(crate) async fn lost_items_are_sent_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(200)).in_pages_of(2))
        .await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 200);
    let applied = driver.answer(&tasks[..50], |_| ItemEvent::Done).await;
    assert_eq!(applied.applied, 50);
    assert_eq!(f.store.pipes().live().await.unwrap(), [PIPE]);
    let hour_ago = f.store.now() - 3_600_000_000;
    let silent = silent_keys(&f, PIPE, hour_ago).await;
    assert!(silent.is_empty());
    let before = f.store.now() + 1;
    assert_eq!(silent_keys(&f, PIPE, before).await, [job.key]);
    assert!(silent_keys(&f, "other", before).await.is_empty());
    driver.repair(&job).await;
    audit(&f, job.uid).await;
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 150);
    // They were not lost, only late: the older attempt no longer counts.
    assert_eq!(driver.answer(&tasks, |_| ItemEvent::Done).await.applied, 0);
    let ended = driver.finish_well(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 200)
    );
    assert!(f.store.pipes().live().await.unwrap().is_empty());
    let before = f.store.now() + 1;
    assert!(silent_keys(&f, PIPE, before).await.is_empty());
}

pub(crate) async fn lost_splits_are_asked_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.create(batch(), Tree::new(flat(4))).await;
    let lost = driver.outbox.pop_front().unwrap();
    f.store.outbox_sent(&[lost.id]).await.unwrap();
    let before = f.store.now() + 1;
    assert_eq!(silent_keys(&f, PIPE, before).await, [job.key]);
    driver.repair(&job).await;
    assert_eq!(driver.outbox.len(), 1);
    assert_eq!(driver.outbox[0].kind, OutboxKind::Split);
    assert!(driver.outbox[0].attempt > lost.attempt);
    audit(&f, job.uid).await;
    // The older message is found after all.
    driver.outbox.push_back(lost);
    assert_eq!(driver.finish_well(&job).await.counts.done, 4);
}

/// Delayed, leased and parked items do not rest on messages.
pub(crate) async fn what_rests_on_time_stays(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.retry_policy.initial_ms = 3_600_000;
    spec.retry_policy.max_ms = 3_600_000;
    let job = driver.begin(spec, Tree::new(flat(4))).await;
    let tasks = driver.take_tasks();
    let passing = ItemEvent::Failed(Failed {
        retryable: true,
        ..failure("E", "again")
    });
    driver.say(&tasks[0], passing).await;
    driver.say(&tasks[1], ItemEvent::Leased).await;
    driver.say(&tasks[2], ItemEvent::Suspect).await;
    driver.pump().await;
    driver.tasks.clear();
    driver.repair(&job).await;
    driver.pump().await;
    let sent: Vec<_> = driver
        .tasks
        .iter()
        .map(|task| (task.index, task.attempt, task.announced))
        .collect();
    assert_eq!(sent, [(2, 2, true), (3, 1, false)]);
    audit(&f, job.uid).await;
    // The leased one's worker is alive and ends it.
    assert_eq!(driver.say(&tasks[1], ItemEvent::Done).await.applied, 1);
    f.sql("UPDATE item SET due = 1 WHERE due > 0").await;
    driver.fire().await;
    assert_eq!(driver.finish_well(&job).await.counts.done, 4);
}

pub(crate) async fn an_older_epoch(f: Fixture) {
    f.store.begin_epoch(None, Uuid::new_v4()).await.unwrap();
    let mut driver = Driver::new(&f.store);
    let sub = Node::Batch(flat(3));
    let tree = Tree::new([vec![sub.clone(), sub], flat(3)].concat());
    let working = driver.begin(batch(), tree.clone()).await;
    let splitting = driver.create(batch(), tree.clone()).await;
    let message = driver.outbox.pop_front().unwrap();
    f.store.outbox_sent(&[message.id]).await.unwrap();
    let ended = driver.create(task("x"), Tree::new(Vec::new())).await;
    driver.pump().await;
    let of_ended: Vec<_> = driver
        .tasks
        .iter()
        .filter(|task| task.uid == ended.uid)
        .cloned()
        .collect();
    driver.answer(&of_ended, |_| ItemEvent::Done).await;
    driver.tasks.clear();
    assert!(f.store.jobs_of_older_epochs().await.unwrap().is_empty());

    let mark = f.store.epoch_mark().await.unwrap();
    f.store.begin_epoch(mark, Uuid::new_v4()).await.unwrap();
    let mut older = f.store.jobs_of_older_epochs().await.unwrap();
    older.sort_unstable();
    let mut expected = [working.key, splitting.key];
    expected.sort_unstable();
    assert_eq!(older, expected);
    // Nothing of it was touched since, yet it is of an older epoch.
    for job in [&working, &splitting] {
        let (committed, more) = f.store.repair_job(job.key, 0).await.unwrap();
        assert!(!more);
        driver.take(committed);
        audit(&f, job.uid).await;
    }
    assert!(f.store.jobs_of_older_epochs().await.unwrap().is_empty());
    for job in [&working, &splitting] {
        let ended = driver.finish_well(job).await;
        assert_eq!((ended.state(), ended.counts.done), (JobState::Completed, 9));
    }
}

/// The sweep ends although a held job has pages of an older run that it cannot open yet.
pub(crate) async fn paused_jobs_of_an_older_epoch(f: Fixture) {
    f.store.begin_epoch(None, Uuid::new_v4()).await.unwrap();
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(300)).in_pages_of(1))
        .await;
    let tasks = driver.take_tasks();
    driver.control(&job, Action::Pause).await;
    driver.answer(&tasks, |_| ItemEvent::Parked).await;
    driver.control(&job, Action::Cancel).await;
    driver.control(&job, Action::Retry).await;
    driver.control(&job, Action::Pause).await;
    assert!(driver.job(&job).await.counts.reopen > 0);
    driver.outbox.clear();
    let mark = f.store.epoch_mark().await.unwrap();
    f.store.begin_epoch(mark, Uuid::new_v4()).await.unwrap();
    let mut rounds = 0;
    while let [key] = f.store.jobs_of_older_epochs().await.unwrap()[..] {
        assert_eq!(key, job.key);
        assert!(rounds < 20, "the sweep does not end");
        let (committed, _) = f.store.repair_job(key, 0).await.unwrap();
        driver.take(committed);
        rounds += 1;
    }
    audit(&f, job.uid).await;
    driver.control(&job, Action::Resume).await;
    let ended = driver.finish_well(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 300)
    );
}

/// More waits than one transaction moves, and nothing else comes for the job.
pub(crate) async fn an_idle_job_is_advanced(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(300)).in_pages_of(1))
        .await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 300);
    driver.control(&job, Action::Pause).await;
    driver.answer(&tasks, |_| ItemEvent::Parked).await;
    assert_eq!(driver.job(&job).await.counts.parked, 300);
    driver.control(&job, Action::Resume).await;
    assert!(driver.job(&job).await.counts.parked > 0);
    let hour = 3_600_000_000;
    let (committed, next) = f.store.advance_idle(hour, 0).await.unwrap();
    assert!(committed.changes.is_empty() && next.is_none());
    f.sql(format!(
        "UPDATE job_progress SET updated = updated - {}",
        2 * hour
    ))
    .await;
    let (committed, next) = f.store.advance_idle(hour, job.key).await.unwrap();
    assert!(committed.changes.is_empty() && next.is_none());
    let (committed, _) = f.store.advance_idle(hour, 0).await.unwrap();
    assert_eq!(committed.changes.len(), 1);
    driver.take(committed);
    assert_eq!(driver.job(&job).await.counts.parked, 0);
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 300);
    audit(&f, job.uid).await;
}
