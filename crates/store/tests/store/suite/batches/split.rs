//! Splitting pages.

use headway_domain::{
    JobState, JobUid,
    batches::Forward,
    reports::{Failed, ItemEvent, code},
};
use headway_store::{OutboxKind, PageSource, SplitPlan};
use uuid::Uuid;

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Node, Started, Tree, flat},
    failures::failure,
};

/// What a batch worker reads when it is first asked for a page.
async fn source(f: &Fixture, job: &Started, page: u32, attempt: u32) -> PageSource {
    match f.store.plan_split(job.uid, page, attempt).await.unwrap() {
        SplitPlan::Split(source) => source,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_race_has_one_winner(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let tree = Tree::new([vec![Node::Batch(flat(3))], flat(4)].concat()).in_pages_of(4);
    let job = driver.create(batch(), tree.clone()).await;
    let source = source(&f, &job, 1, 0).await;
    assert_eq!(source.definition, b"tree");
    assert_eq!((source.batch, source.cursor.as_deref()), (1, None));
    let other = f.another().await;
    let mine = f.store.record_split(&source, 0, tree.split(&source));
    let theirs = other.record_split(&source, 0, tree.split(&source));
    let (mine, theirs) = tokio::join!(mine, theirs);
    let results = [mine.unwrap(), theirs.unwrap()];
    let won: Vec<_> = results
        .iter()
        .filter_map(|result| result.release.as_ref())
        .collect();
    assert_eq!(won.len(), 1);
    assert_eq!(won[0].indexes.iter().collect::<Vec<_>>(), [1, 2, 3]);
    let counts = driver.job(&job).await.counts;
    assert_eq!((counts.known, counts.open), (3, 1));
    assert_eq!(f.count("batch").await, 2);
    assert_eq!(f.count("page").await, 3);
    audit(&f, job.uid).await;
    // The losers' splits are acknowledged and forgotten; what was owed is owed once.
    for result in results {
        driver.take(result.committed);
    }
    driver.outbox.retain(|message| message.page != 1);
    assert_eq!(driver.outbox.len(), 2);
    driver.pump().await;
    driver.serve_again(&job, 1).await;
    assert_eq!(driver.tasks.len(), 7);
    assert_eq!(driver.finish_well(&job).await.counts.done, 7);
}

impl Driver {
    /// Delivers the message that asked for a page once more.
    async fn serve_again(&mut self, job: &Started, page: u32) {
        let message = headway_store::OutboxMessage {
            id: 0,
            uid: job.uid,
            kind: OutboxKind::Split,
            page,
            run: 0,
            attempt: 0,
            indexes: Default::default(),
        };
        self.serve(&message).await;
    }
}

/// The batch worker died after its commit, before it sent anything: the message comes again.
pub(crate) async fn whoever_lost_sends_what_is_open(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 6;
    let job = driver.begin(spec, Tree::new(flat(9))).await;
    let sent = driver.take_tasks();
    assert_eq!(sent.len(), 6);
    driver.answer(&sent[..1], |_| ItemEvent::Done).await;
    driver.outbox.clear();
    driver.serve_again(&job, 1).await;
    let again = driver.take_tasks();
    // Without the one that has an outcome, and nothing beyond the window.
    assert!(again.iter().all(|task| task.index > 0));
    assert!(again.len() >= 5 && again.len() <= 6);
    assert_eq!(again[..5], sent[1..]);
    driver.tasks.extend(again);
    let overdue = f.store.outbox_overdue(-1_000_000, 100).await.unwrap();
    driver.outbox.extend(overdue);
    let ended = driver.finish_well(&job).await;
    assert_eq!(f.count("split_retry").await, 0);
    assert_eq!((ended.state(), ended.counts.done), (JobState::Completed, 9));
}

pub(crate) async fn passing_faults(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.retry_policy.initial_ms = 3_600_000;
    spec.retry_policy.max_ms = 3_600_000;
    spec.retry_policy.max_attempts = 3;
    let job = driver.create(spec, Tree::new(flat(2))).await;
    let fault = Failed {
        retryable: true,
        ..failure(code::SPLIT_FAILED, "the file server is away")
    };
    for attempt in 0..2 {
        let message = driver.outbox.pop_front().unwrap();
        assert_eq!(
            (message.kind, message.attempt),
            (OutboxKind::Split, attempt)
        );
        source(&f, &job, 1, attempt).await;
        let fail = || {
            f.store
                .record_split_failure(job.uid, 1, attempt, fault.clone())
        };
        driver.take(fail().await.unwrap());
        let counts = driver.job(&job).await.counts;
        assert_eq!((counts.unsplit, counts.splitting), (1, 0));
        let known = f
            .store
            .explain(&job.name)
            .await
            .unwrap()
            .split_retry
            .unwrap();
        assert_eq!((known.pages, known.tries), (1, u64::from(attempt) + 1));
        assert_eq!(known.message, "the file server is away");
        audit(&f, job.uid).await;
        // Said twice, it counts once.
        driver.take(fail().await.unwrap());
        assert!(driver.outbox.is_empty());
        assert_eq!(driver.job(&job).await.counts.unsplit, 1);
        driver.take(f.store.fire_pages().await.unwrap());
        assert!(driver.outbox.is_empty(), "the delay is not over");
        let hour = 3_600_000_000i64;
        f.sql(format!("UPDATE page SET due = due - {hour} WHERE due > 0"))
            .await;
        driver.take(f.store.fire_pages().await.unwrap());
        assert_eq!(driver.outbox.len(), 1);
        audit(&f, job.uid).await;
        // The message of the attempt before is worth nothing now.
        let plan = f.store.plan_split(job.uid, 1, attempt).await.unwrap();
        assert!(matches!(plan, SplitPlan::Nothing(_)));
    }
    let ended = driver.finish_well(&job).await;
    assert_eq!(f.count("split_retry").await, 0);
    assert_eq!((ended.state(), ended.counts.done), (JobState::Completed, 2));
    assert_eq!(ended.counts.failures, 0);
}

pub(crate) async fn lasting_faults(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let tree = Tree::new([vec![Node::Batch(flat(3))], flat(2)].concat());
    let job = driver.create(batch(), tree).await;
    let root = driver.outbox.pop_front().unwrap();
    driver.serve(&root).await;
    let sub = driver.outbox.pop_front().unwrap();
    assert_eq!(sub.kind, OutboxKind::Split);
    let fault = failure(code::SPLIT_FAILED, "the folder\0 cannot be read");
    let committed = f
        .store
        .record_split_failure(job.uid, sub.page, sub.attempt, fault)
        .await
        .unwrap();
    driver.take(committed);
    audit(&f, job.uid).await;
    assert_eq!(driver.job(&job).await.state(), JobState::Active);
    let ended = driver.finish_well(&job).await;
    assert_eq!(f.count("split_retry").await, 0);
    assert_eq!((ended.state(), ended.counts.done), (JobState::Failed, 2));
    assert_eq!(ended.counts.failures, 1);
    let view = f.store.job(&job.name).await.unwrap();
    let failure = &view.failures[0];
    assert_eq!((failure.page, failure.idx), (i64::from(sub.page), -1));
    assert_eq!(failure.code, code::SPLIT_FAILED);
    assert_eq!(failure.message, "the folder\u{fffd} cannot be read");
    audit(&f, job.uid).await;
}

/// The page that found them fails, with the reason that a client reads.
pub(crate) async fn batches_that_lie_too_deep(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .create(batch(), Tree::new(vec![Node::Batch(flat(3))]))
        .await;
    let root = driver.outbox.pop_front().unwrap();
    f.sql("UPDATE page SET depth = 1000").await;
    driver.serve(&root).await;
    assert!(driver.outbox.is_empty());
    audit(&f, job.uid).await;
    let view = f.store.job(&job.name).await.unwrap();
    assert_eq!(view.job.state(), JobState::Failed);
    let failure = &view.failures[0];
    assert_eq!(failure.code, code::SPLIT_FAILED);
    assert!(
        failure.message.contains("more than 1000 levels below"),
        "{failure:?}"
    );
}

/// A splitter that is not reproducible: the row has its children for as long as it is open.
pub(crate) async fn children_are_kept(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 4;
    let tree = Tree {
        reproducible: false,
        ..Tree::new(flat(10))
    };
    let job = driver.begin(spec, tree.clone()).await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 4);
    // Reports and releases do not touch them.
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    let plan = f
        .store
        .plan_dispatch(job.uid, 1, &[4, 5])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(plan.children.as_deref(), Some(&b"[] 0..10"[..]));
    assert_eq!((plan.count, plan.hash), (10, 10));
    assert!(plan.sub.is_empty());
    assert_eq!(plan.source.limit, 64);
    assert_eq!(plan.source.definition, b"tree");
    assert_eq!(plan.items.len(), 2);
    assert_eq!(plan.items[0].index, 4);
    assert_eq!(driver.finish_well(&job).await.counts.done, 10);
    assert_eq!(f.count("page").await, 0);
}

pub(crate) async fn not_reproducible(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(4))).await;
    let tasks = driver.take_tasks();
    driver.say(&tasks[0], ItemEvent::Done).await;
    let committed = f.store.not_reproducible(job.uid, 1, &[0, 1, 2, 99]).await;
    driver.take(committed.unwrap());
    let counts = driver.job(&job).await.counts;
    assert_eq!((counts.done, counts.failed), (1, 2));
    audit(&f, job.uid).await;
    driver.say(&tasks[3], ItemEvent::Done).await;
    let view = f.store.job(&job.name).await.unwrap();
    assert_eq!(view.job.state(), JobState::Failed);
    assert!(
        view.failures
            .iter()
            .all(|failure| failure.code == code::NOT_REPRODUCIBLE)
    );
}

/// Large payloads are planned some at a time, so that a batch worker never holds all of them.
pub(crate) async fn large_forwards_are_planned_in_parts(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(5))).await;
    let forward = |bytes: usize| {
        ItemEvent::Forward(Forward {
            pipe: "next".to_owned(),
            task_type: String::new(),
            payload: vec![b'x'; bytes],
            content_type: String::new(),
        })
    };
    for (task, bytes) in driver.take_tasks().iter().zip([900_000; 5]) {
        driver.say(task, forward(bytes)).await;
    }
    let mut left = vec![0, 1, 2, 3, 4];
    let mut planned = Vec::new();
    while !left.is_empty() {
        let plan = f.store.plan_dispatch(job.uid, 1, &left).await;
        let plan = plan.unwrap().unwrap();
        planned.push(plan.items.iter().map(|item| item.index).collect::<Vec<_>>());
        left = plan.left;
    }
    assert_eq!(planned, [vec![0, 1, 2, 3], vec![4]]);
    assert_eq!(driver.finish_well(&job).await.counts.done, 5);
}

pub(crate) async fn messages_of_unknown_pages(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(1))).await;
    for (uid, page) in [(job.uid, 77), (JobUid(Uuid::new_v4()), 1)] {
        let plan = f.store.plan_split(uid, page, 0).await.unwrap();
        assert!(matches!(plan, SplitPlan::Nothing(_)));
        let plan = f.store.plan_dispatch(uid, page, &[0]).await.unwrap();
        assert!(plan.is_none());
        let fault = failure("E", "no");
        let committed = f.store.record_split_failure(uid, page, 0, fault).await;
        assert!(committed.unwrap().changes.is_empty());
        let committed = f.store.not_reproducible(uid, page, &[0]).await.unwrap();
        assert!(committed.changes.is_empty());
    }
    // Items that do not exist are not sent.
    let plan = f.store.plan_dispatch(job.uid, 1, &[1, 4095]).await.unwrap();
    assert!(plan.unwrap().items.is_empty());
    assert_eq!(driver.finish_well(&job).await.counts.done, 1);
}
