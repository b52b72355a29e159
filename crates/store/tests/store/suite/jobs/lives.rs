//! Whole jobs, from their creation to their end.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use headway_domain::{
    JobState,
    jobs::expected,
    reports::{Failed, ItemEvent},
    retries::RetryPolicy,
};

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Node, Started, Task, Tree, flat},
    failures::failure,
};

/// Folders in folders with files between them: 3 levels, 85 items.
fn folders() -> Vec<Node> {
    let leaf = Node::Batch(flat(5));
    let middle = Node::Batch([vec![leaf.clone(); 3], flat(5)].concat());
    [vec![middle; 4], flat(5)].concat()
}

async fn nothing_is_left(f: &Fixture, job: &Started) {
    let rows = f.store.rows_of(job.uid).await.unwrap();
    assert_eq!(rows["page"], 0, "{rows:?}");
    assert_eq!(rows["item"], 0, "{rows:?}");
    let live = format!(
        "SELECT count(*) AS value FROM batch WHERE job_key = {} AND finished = 0",
        job.key
    );
    assert!(f.ints(live).await[0] <= 1, "{rows:?}");
    assert_eq!(f.store.outbox_len().await.unwrap(), 0);
    audit(f, job.uid).await;
}

pub(crate) async fn a_tree(f: Fixture) {
    for (declared, reproducible) in [(false, true), (true, true), (false, false)] {
        let mut driver = Driver::new(&f.store);
        let tree = Tree {
            declared,
            reproducible,
            ..Tree::new(folders()).in_pages_of(4)
        };
        let items = tree.items();
        assert_eq!(items, 85);
        let mut spec = batch();
        spec.max_in_flight = 16;
        let job = driver.create(spec, tree).await;
        let first = driver.outbox.pop_front().unwrap();
        driver.serve(&first).await;
        f.store.outbox_sent(&[first.id]).await.unwrap();
        if declared {
            let counts = driver.job(&job).await.counts;
            assert_eq!(expected(&counts), (items, true));
        }
        let (mut percentage, mut seen) = (0.0, BTreeSet::new());
        loop {
            driver.pump().await;
            audit(&f, job.uid).await;
            let tasks = driver.take_tasks();
            if tasks.is_empty() {
                break;
            }
            for task in &tasks {
                assert!(seen.insert((task.page, task.index)), "{task:?} twice");
            }
            driver.answer(&tasks, |_| ItemEvent::Done).await;
            let now = driver.job(&job).await;
            assert!(now.percentage() >= percentage);
            percentage = now.percentage();
        }
        let ended = driver.job(&job).await;
        assert_eq!(
            (ended.state(), ended.counts.done),
            (JobState::Completed, 85)
        );
        assert_eq!(ended.percentage(), 100.0);
        assert_eq!(seen.len(), 85);
        assert!(driver.most_out <= 16);
        nothing_is_left(&f, &job).await;
    }
}

pub(crate) async fn without_children(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(Vec::new())).await;
    let ended = driver.job(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.known),
        (JobState::Completed, 0)
    );
    assert_eq!(ended.percentage(), 100.0);
    assert!(ended.settled.is_some());
    nothing_is_left(&f, &job).await;
}

pub(crate) async fn folders_only(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let empty = Node::Batch(Vec::new());
    let nested = Node::Batch(vec![Node::Batch(vec![empty.clone()]), empty]);
    let job = driver
        .begin(batch(), Tree::new(vec![nested; 5]).in_pages_of(2))
        .await;
    let ended = driver.job(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.known),
        (JobState::Completed, 0)
    );
    nothing_is_left(&f, &job).await;
}

pub(crate) async fn a_small_window(f: Fixture) {
    for window in [1, 10] {
        let mut driver = Driver::new(&f.store);
        let mut spec = batch();
        spec.max_in_flight = window;
        let job = driver.begin(spec, Tree::new(flat(70))).await;
        let out = driver.tasks.len();
        assert_eq!(out, window as usize);
        // One at a time, oldest first.
        while let Some(task) = driver.tasks.pop_front() {
            driver.say(&task, ItemEvent::Done).await;
            driver.pump().await;
            assert!(driver.job(&job).await.counts.out() <= u64::from(window));
        }
        assert_eq!(driver.most_out, window as usize);
        let ended = driver.job(&job).await;
        assert_eq!(
            (ended.state(), ended.counts.done),
            (JobState::Completed, 70)
        );
        nothing_is_left(&f, &job).await;
    }
}

pub(crate) async fn two_jobs_interleaved(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let one = driver.begin(batch(), Tree::new(folders())).await;
    let two = driver
        .begin(batch(), Tree::new(folders()).in_pages_of(3))
        .await;
    loop {
        driver.pump().await;
        let tasks = driver.take_tasks();
        if tasks.is_empty() {
            break;
        }
        for some in tasks.chunks(13) {
            driver.answer(some, |_| ItemEvent::Done).await;
        }
    }
    for job in [one, two] {
        let ended = driver.job(&job).await;
        assert_eq!(
            (ended.state(), ended.counts.done),
            (JobState::Completed, 85)
        );
        nothing_is_left(&f, &job).await;
    }
}

/// A number that looks random, the same in each run; another one whenever an item comes again.
fn dice(task: &Task, turn: u64, sides: u32) -> u32 {
    let mixed = u64::from(task.page) << 32 | u64::from(task.index) << 16 | turn;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u32 % sides
}

/// A fifth of the items fail passingly, some lastingly, some kill their worker, some are leased and
/// lost.
pub(crate) async fn unlucky_workers(f: Fixture) {
    let mut driver = Driver::new(&f.hasty().await);
    let mut spec = batch();
    spec.max_in_flight = 30;
    spec.retry_policy = RetryPolicy {
        max_attempts: 20,
        ..spec.retry_policy
    };
    let job = driver
        .begin(spec, Tree::new(folders()).in_pages_of(6))
        .await;
    let (lost, turns) = (AtomicU64::new(0), AtomicU64::new(0));
    let ended = driver
        .finish(&job, |task| {
            match dice(task, turns.fetch_add(1, Ordering::Relaxed), 20) {
                0..4 => ItemEvent::Failed(Failed {
                    retryable: true,
                    ..failure("BUSY", "again")
                }),
                4 if task.page % 3 == 0 => {
                    lost.fetch_add(1, Ordering::Relaxed);
                    ItemEvent::Failed(failure("E", "never"))
                }
                5 if !task.alone => ItemEvent::Suspect,
                6 if !task.alone => ItemEvent::Leased,
                7 => ItemEvent::Parked,
                _ => ItemEvent::Done,
            }
        })
        .await;
    let lost = lost.into_inner();
    assert_eq!(ended.counts.done, 85 - lost);
    assert_eq!(ended.counts.failed, lost);
    assert_eq!(ended.counts.failures, lost);
    assert_eq!(ended.counts.item_rows, 0);
    assert_eq!(f.store.outbox_len().await.unwrap(), 0);
    audit(&f, job.uid).await;
}

/// Every message to batch workers and every report is delivered twice.
pub(crate) async fn every_message_twice(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 20;
    let job = driver
        .create(spec, Tree::new(folders()).in_pages_of(4))
        .await;
    let mut handled = 0;
    loop {
        while let Some(message) = driver.outbox.pop_front() {
            driver.serve(&message).await;
            driver.serve(&message).await;
            f.store.outbox_sent(&[message.id]).await.unwrap();
        }
        let tasks = driver.take_tasks();
        if tasks.is_empty() {
            break;
        }
        handled += tasks.len();
        let applied = driver.answer(&tasks, |_| ItemEvent::Done).await;
        let again = driver.answer(&tasks, |_| ItemEvent::Done).await;
        assert_eq!(again.applied, 0);
        assert!(applied.stale > 0 || tasks.len() < 2);
    }
    assert!(handled > 85);
    let ended = driver.job(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 85)
    );
    nothing_is_left(&f, &job).await;
}

/// How fast the store is by itself; no threshold, as machines differ.
pub(crate) async fn a_hundred_thousand_items(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 20_000;
    let begun = Instant::now();
    let job = driver.create(spec, Tree::new(flat(100_000))).await;
    driver.take_credit(&job).await;
    let mut most_pages = 0;
    loop {
        driver.pump().await;
        most_pages = most_pages.max(f.count("page").await);
        let tasks = driver.take_tasks();
        if tasks.is_empty() {
            break;
        }
        for some in tasks.chunks(2000) {
            driver.answer(some, |_| ItemEvent::Done).await;
        }
    }
    let took = begun.elapsed();
    let ended = driver.job(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 100_000)
    );
    assert!(driver.most_out <= 20_000);
    assert!(most_pages <= 16, "{most_pages} pages at once");
    nothing_is_left(&f, &job).await;
    let backend = if f.is_postgres() {
        "postgresql"
    } else {
        "sqlite"
    };
    println!(
        "{backend}: 100000 items in {:.2} s, {:.0} items/s",
        took.as_secs_f64(),
        100_000.0 / took.as_secs_f64()
    );
}
