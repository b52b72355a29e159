//! Applying reports, and the fencing that keeps the past out.

use headway_domain::{
    JobState, JobUid,
    batches::Forward,
    reports::{ItemEvent, ItemReport, PageReport},
};
use uuid::Uuid;

use crate::suite::{
    Fixture, PIPE,
    audit::audit,
    batch,
    driver::{Driver, SESSION, Task, Tree, flat, reports},
    failures::failure,
    task,
};

pub(crate) async fn duplicates_and_the_past_change_nothing(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(3))).await;
    let tasks = driver.take_tasks();
    let done = reports(&tasks[..1], |_| ItemEvent::Done);
    let first = driver.report(done.clone()).await;
    assert_eq!((first.applied.applied, first.applied.drained), (1, 1));
    assert_eq!(first.drained[PIPE], 1);
    let before = driver.job(&job).await;

    let failed = ItemEvent::Failed(failure("E", "no"));
    let of = |task: &Task| task.clone();
    let past = [
        of(&tasks[0]),
        Task {
            attempt: 1,
            ..of(&tasks[1])
        },
        Task {
            stage: 1,
            ..of(&tasks[1])
        },
        Task {
            run: 1,
            ..of(&tasks[1])
        },
        Task {
            page: 9,
            ..of(&tasks[1])
        },
    ];
    for task in &past {
        for event in [
            ItemEvent::Done,
            failed.clone(),
            ItemEvent::Parked,
            ItemEvent::Discarded,
            ItemEvent::Started,
            ItemEvent::Leased,
            ItemEvent::Suspect,
            ItemEvent::Fraction(5),
        ] {
            let applied = driver.say(task, event.clone()).await;
            assert_eq!((applied.applied, applied.stale), (0, 1), "{event:?}");
        }
    }
    assert_eq!(driver.job(&job).await, before);
    assert_eq!(f.count("item").await, 0);
    // Twice in one call, and against each other: the first wins.
    let both: Vec<PageReport> = [ItemEvent::Done, failed]
        .into_iter()
        .chain([ItemEvent::Done])
        .flat_map(|event| reports(&tasks[1..2], |_| event.clone()))
        .collect();
    let applied = driver.report(both).await.applied;
    assert_eq!((applied.applied, applied.stale), (1, 2));
    let now = driver.job(&job).await;
    assert_eq!((now.counts.done, now.counts.failed), (2, 0));
    audit(&f, job.uid).await;
    driver.tasks.push_back(tasks[2].clone());
    assert_eq!(driver.finish_well(&job).await.state(), JobState::Completed);
    // After the end, when the page is folded away.
    let late = driver.report(done).await.applied;
    assert_eq!((late.applied, late.stale), (0, 1));
}

pub(crate) async fn many_jobs_in_one_call(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut jobs = Vec::new();
    for _ in 0..30 {
        jobs.push(driver.create(task("x"), Tree::new(Vec::new())).await);
    }
    for _ in 0..3 {
        let tree = Tree::new(flat(20)).in_pages_of(6);
        jobs.push(driver.create(batch(), tree).await);
    }
    driver.pump().await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 90);
    let all = reports(&tasks, |_| ItemEvent::Done);
    let tracked = f.store.apply_reports(&all).await.unwrap();
    assert_eq!(tracked.applied.applied, 90);
    assert_eq!(tracked.drained[PIPE], 90);
    assert!(tracked.left.is_empty());
    assert_eq!(tracked.committed.changes.len(), 33);
    for job in &jobs {
        assert_eq!(driver.job(job).await.state(), JobState::Completed);
        audit(&f, job.uid).await;
    }
}

pub(crate) async fn indexes_out_of_range(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(3))).await;
    let mut said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    said[0].done = vec![3, 4095, 4096, u32::MAX];
    said[0].items = vec![ItemReport {
        index: u32::MAX,
        attempt: u32::MAX,
        stage: u32::MAX,
        event: ItemEvent::Leased,
    }];
    let applied = driver.report(said).await.applied;
    assert_eq!((applied.applied, applied.stale), (0, 5));
    audit(&f, job.uid).await;
}

pub(crate) async fn unknown_jobs_are_dropped(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let mut said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    let mut unknown = said[0].clone();
    unknown.job = JobUid(Uuid::new_v4());
    said.insert(0, unknown.clone());
    let tracked = driver.report(said).await;
    assert_eq!(tracked.applied.applied, 2);
    assert_eq!(driver.job(&job).await.state(), JobState::Completed);
    let tracked = f.store.apply_reports(&[unknown]).await.unwrap();
    assert!(tracked.left.is_empty() && tracked.committed.changes.is_empty());
    assert_eq!(f.store.apply_reports(&[]).await.unwrap().applied.stale, 0);
}

/// Two trackers get the same reports at once.
pub(crate) async fn concurrent_reports_count_once(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(60)).in_pages_of(20))
        .await;
    let tasks = driver.take_tasks();
    let mut trackers = tokio::task::JoinSet::new();
    for turn in 0..4 {
        let mut tasks = tasks.clone();
        tasks.rotate_left(turn * 15);
        let mut tracker = Driver::new(&f.another().await);
        trackers.spawn(async move {
            let mut applied = 0;
            for some in tasks.chunks(7) {
                applied += tracker.answer(some, |_| ItemEvent::Done).await.applied;
            }
            applied
        });
    }
    let mut applied = 0;
    while let Some(tracker) = trackers.join_next().await {
        applied += tracker.unwrap();
    }
    assert_eq!(applied, 60);
    let ended = driver.job(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 60)
    );
    audit(&f, job.uid).await;
}

pub(crate) async fn forward_then_done(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    let forward = Forward {
        pipe: "second".to_owned(),
        task_type: "tag".to_owned(),
        payload: vec![0, 1, 255],
        content_type: "application/octet-stream".to_owned(),
    };
    let applied = driver
        .say(&tasks[0], ItemEvent::Forward(forward.clone()))
        .await;
    assert_eq!((applied.applied, applied.drained), (1, 1));
    audit(&f, job.uid).await;
    driver.pump().await;
    let second = driver.tasks.pop_front().unwrap();
    assert!(driver.tasks.is_empty());
    assert_eq!((second.stage, second.index), (1, 0));
    assert_eq!(second.forward.as_ref(), Some(&forward));
    // The first stage's word no longer counts, and neither does its forward.
    let late = driver.say(&tasks[0], ItemEvent::Done).await;
    assert_eq!(late.applied, 0);
    let late = driver.say(&tasks[0], ItemEvent::Forward(forward)).await;
    assert_eq!(late.applied, 0);
    // A second stage that fails passingly is tried again there, with its payload.
    let again = headway_domain::reports::Failed {
        retryable: true,
        ..failure("E", "no")
    };
    driver.say(&second, ItemEvent::Failed(again)).await;
    driver.await_clock().await;
    driver.fire().await;
    driver.pump().await;
    let retried = driver.tasks.pop_front().unwrap();
    assert_eq!((retried.stage, retried.failures), (1, 1));
    assert_eq!(retried.attempt, second.attempt + 1);
    assert_eq!(retried.forward, second.forward);
    driver.tasks.extend([retried, tasks[1].clone()]);
    let ended = driver.finish_well(&job).await;
    assert_eq!((ended.state(), ended.counts.done), (JobState::Completed, 2));
    assert_eq!(f.count("item").await, 0);
}

pub(crate) async fn fractions(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    for (said, percentage) in [(500_000, 25.0), (400_000, 25.0), (2_000_000, 50.0)] {
        driver.say(&tasks[0], ItemEvent::Fraction(said)).await;
        assert_eq!(driver.job(&job).await.percentage(), percentage);
        audit(&f, job.uid).await;
    }
    driver.say(&tasks[0], ItemEvent::Done).await;
    assert_eq!(driver.job(&job).await.percentage(), 50.0);
    assert_eq!(driver.job(&job).await.counts.fractions, 0);
    let mut said = reports(&tasks[1..], |_| ItemEvent::Fraction(1));
    said[0].session = SESSION;
    driver.report(said).await;
    driver.say(&tasks[1], ItemEvent::Done).await;
    assert_eq!(driver.job(&job).await.percentage(), 100.0);
    assert_eq!(f.count("item").await, 0);
}
