//! Running a job again.

use headway_domain::{
    JobState,
    error::Action,
    events::Caller,
    jobs::expected,
    reports::{Failed, ItemEvent, code},
};
use headway_store::{Controlled, FailureFilter, OutboxKind, Retry, StoreError};

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Node, Started, Task, Tree, flat},
    failures::failure,
};

pub(crate) async fn failed_items_run_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let sub = Node::Batch(flat(6));
    let tree = Tree::new([vec![sub.clone(), sub], flat(10)].concat()).in_pages_of(5);
    let job = driver.begin(batch(), tree).await;
    let unlucky = |task: &Task| {
        if task.page.is_multiple_of(2) && task.index == 1 {
            ItemEvent::Failed(failure("E", "no"))
        } else {
            ItemEvent::Done
        }
    };
    let ended = driver.finish(&job, unlucky).await;
    let failed = ended.counts.failed;
    assert_eq!(ended.state(), JobState::Failed);
    assert!(failed > 1 && ended.counts.done == 22 - failed);
    audit(&f, job.uid).await;
    // Only pages with failures, and the batches above them, are left.
    let kept = f.store.rows_of(job.uid).await.unwrap();
    assert_eq!(kept["page"], failed);
    let percentage = ended.percentage();

    let retried = driver.control(&job, Action::Retry).await.view.job;
    assert_eq!((retried.state(), retried.run), (JobState::Active, 1));
    assert!(retried.ended.is_none() && retried.settled.is_none());
    assert!(retried.percentage() >= percentage);
    audit(&f, job.uid).await;
    driver.pump().await;
    assert_eq!(driver.tasks.len() as u64, failed);
    // Once more in vain, and then well.
    let ended = driver
        .finish(&job, |_| ItemEvent::Failed(failure("E", "no")))
        .await;
    assert_eq!(
        (ended.counts.failed, ended.counts.failures),
        (failed, failed)
    );
    audit(&f, job.uid).await;
    driver.control(&job, Action::Retry).await;
    let ended = driver.finish_well(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 22)
    );
    audit(&f, job.uid).await;
}

pub(crate) async fn discarded_items_run_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 70;
    let job = driver.begin(spec, Tree::new(flat(300))).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks[..20], |_| ItemEvent::Done).await;
    driver.control(&job, Action::Cancel).await;
    driver.pump().await;
    let rest: Vec<_> = driver.take_tasks().into_iter().chain(tasks).collect();
    driver.answer(&rest, |_| ItemEvent::Discarded).await;
    let settled = driver.finish(&job, |_| ItemEvent::Discarded).await;
    assert_eq!(settled.counts.done, 20);
    audit(&f, job.uid).await;
    driver.control(&job, Action::Retry).await;
    audit(&f, job.uid).await;
    let ended = driver.finish_well(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 300)
    );
    audit(&f, job.uid).await;
}

pub(crate) async fn a_failed_split_runs_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.create(batch(), Tree::new(flat(3))).await;
    let message = driver.outbox.pop_front().unwrap();
    let fault = failure(code::SPLIT_FAILED, "no such folder");
    let committed = f
        .store
        .record_split_failure(job.uid, 1, message.attempt, fault)
        .await
        .unwrap();
    driver.take(committed);
    let failed = driver.job(&job).await;
    assert_eq!(failed.state(), JobState::Failed);
    assert!(failed.settled.is_some());
    driver.control(&job, Action::Retry).await;
    audit(&f, job.uid).await;
    let ended = driver.finish_well(&job).await;
    assert_eq!((ended.state(), ended.counts.done), (JobState::Completed, 3));
    assert_eq!(ended.percentage(), 100.0);
}

/// A cancelled job leaves a parked item with a forward; the next run begins at the first stage.
pub(crate) async fn parked_items_of_an_older_run(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    driver.control(&job, Action::Pause).await;
    let forward = headway_domain::batches::Forward {
        pipe: "second".to_owned(),
        task_type: "tag".to_owned(),
        payload: b"x".to_vec(),
        content_type: String::new(),
    };
    driver
        .say(&tasks[0], ItemEvent::Forward(forward.clone()))
        .await;
    driver.say(&tasks[1], ItemEvent::Parked).await;
    assert_eq!(driver.job(&job).await.counts.parked, 2);
    audit(&f, job.uid).await;
    driver.control(&job, Action::Cancel).await;
    assert!(driver.job(&job).await.settled.is_some());
    driver.control(&job, Action::Retry).await;
    driver.pump().await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 2);
    assert!(tasks.iter().all(|task| task.stage == 0 && task.run == 1));
    driver.tasks.extend(tasks);
    assert_eq!(driver.finish_well(&job).await.counts.done, 2);
    assert_eq!(f.count("item").await, 0);
}

/// A job of so many pages of one item that one transaction does not open all of them again. Every
/// item is parked with a forward, and the job is cancelled.
async fn wide(f: &Fixture, driver: &mut Driver, pages: usize) -> Started {
    let job = driver
        .create(batch(), Tree::new(flat(pages)).in_pages_of(1))
        .await;
    driver.take_credit(&job).await;
    driver.pump().await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), pages);
    driver.control(&job, Action::Pause).await;
    let passing = ItemEvent::Failed(Failed {
        retryable: true,
        ..failure("E", "again")
    });
    driver.answer(&tasks, |_| passing.clone()).await;
    driver.await_clock().await;
    driver.fire().await;
    assert_eq!(driver.job(&job).await.counts.parked, pages as u64);
    driver.control(&job, Action::Cancel).await;
    assert!(driver.job(&job).await.settled.is_some());
    audit(f, job.uid).await;
    job
}

pub(crate) async fn many_pages_are_opened_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = wide(&f, &mut driver, 300).await;
    driver.control(&job, Action::Retry).await;
    let retried = driver.job(&job).await;
    assert!(
        retried.counts.reopen > 0,
        "one transaction opened all of them"
    );
    audit(&f, job.uid).await;
    let ended = driver.finish(&job, fresh).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 300)
    );
    audit(&f, job.uid).await;
    assert_eq!(f.count("item").await, 0);
}

/// What a worker says of an item that begins again.
fn fresh(task: &Task) -> ItemEvent {
    assert_eq!((task.run, task.attempt, task.failures), (1, 0, 0));
    ItemEvent::Done
}

/// A dispatch and a split of the older run come for pages that are yet to be opened again, while
/// the job is held.
pub(crate) async fn stale_messages_of_an_older_run(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = wide(&f, &mut driver, 300).await;
    driver.control(&job, Action::Retry).await;
    driver.control(&job, Action::Pause).await;
    assert!(driver.job(&job).await.counts.reopen > 0);
    let plan = f.store.plan_dispatch(job.uid, 300, &[0]).await.unwrap();
    assert!(plan.is_none_or(|plan| plan.items.is_empty()));
    audit(&f, job.uid).await;
    f.store.plan_split(job.uid, 300, 0).await.unwrap();
    audit(&f, job.uid).await;
    driver.control(&job, Action::Resume).await;
    let ended = driver.finish(&job, fresh).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 300)
    );
    audit(&f, job.uid).await;
}

/// Reports of the older run name pages that the same transaction opens again: it must forget their
/// items' past.
pub(crate) async fn stale_reports_of_an_older_run(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = wide(&f, &mut driver, 300).await;
    driver.control(&job, Action::Retry).await;
    assert!(driver.job(&job).await.counts.reopen > 0);
    driver.pump().await;
    let live = driver.tasks.pop_front().unwrap();
    let mut mixed: Vec<_> = (280..=300)
        .map(|page| Task {
            page,
            run: 0,
            index: 9,
            ..live.clone()
        })
        .collect();
    mixed.push(live);
    let applied = driver.answer(&mixed, |_| ItemEvent::Done).await;
    assert_eq!((applied.applied, applied.stale), (1, 21));
    audit(&f, job.uid).await;
    let ended = driver.finish(&job, fresh).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 300)
    );
    assert_eq!(f.count("item").await, 0);
    audit(&f, job.uid).await;
}

/// Retries the failures with this code.
async fn retry_code(
    f: &Fixture,
    job: &Started,
    code: &str,
    rehearse: bool,
) -> Result<Controlled, StoreError> {
    let retry = Retry {
        filter: FailureFilter {
            codes: vec![code.to_owned()],
            ..FailureFilter::default()
        },
        rehearse,
        ..Retry::default()
    };
    f.store
        .retry_job(&job.name, &retry, &Caller::default())
        .await
}

/// Some of the failures of a job are taken back while it runs, in pages that are over and in one
/// that is not, and beside a page that could not be split.
pub(crate) async fn failures_of_a_running_job_run_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let tree = Tree::new(flat(15)).in_pages_of(5);
    let job = driver.create(batch(), tree).await;
    let third = loop {
        let message = driver
            .outbox
            .pop_front()
            .expect("a split of the third page");
        if message.kind == OutboxKind::Split && message.page == 3 {
            break message;
        }
        driver.serve(&message).await;
    };
    let fault = failure("A", "no such folder");
    let recorded = f
        .store
        .record_split_failure(job.uid, 3, third.attempt, fault);
    driver.take(recorded.await.unwrap());
    driver.pump().await;
    let tasks: Vec<_> = driver
        .take_tasks()
        .into_iter()
        .map(|task| ((task.page, task.index), task))
        .collect();
    let tasks: std::collections::BTreeMap<_, _> = tasks.into_iter().collect();
    assert_eq!(tasks.len(), 10);
    let said = |task: &Task| match task.index {
        1 => ItemEvent::Failed(failure("A", "no")),
        2 => ItemEvent::Failed(failure("B", "no")),
        _ => ItemEvent::Done,
    };
    let early: Vec<_> = tasks.values().take(8).cloned().collect();
    driver.answer(&early, said).await;
    let before = driver.job(&job).await;
    assert_eq!((before.counts.failed, before.counts.split_failed), (4, 1));
    audit(&f, job.uid).await;

    let none = retry_code(&f, &job, "C", false).await.unwrap_err();
    assert!(none.to_string().contains("no failure"), "{none}");
    let (all, caller) = (Retry::default(), Caller::default());
    let all = f.store.retry_job(&job.name, &all, &caller);
    let all = all.await.unwrap_err().to_string();
    assert!(all.contains("only a job that failed"), "{all}");
    let asked = retry_code(&f, &job, "A", true).await.unwrap().view.job;
    assert_eq!((asked.counts.failed, asked.run), (2, 0));
    assert_eq!(asked.counts.split_failed, 0);
    assert!(!expected(&asked.counts).1, "a batch is to be split again");
    assert!(expected(&before.counts).1);
    assert_eq!(driver.job(&job).await, before, "asking changes nothing");

    let retried = retry_code(&f, &job, "A", false).await.unwrap();
    assert_eq!(retried.view.job.counts.failed, 2);
    assert_eq!(retried.view.failures.len(), 2);
    driver.take(retried.committed);
    audit(&f, job.uid).await;
    let states = f.store.job_states(&[job.uid]).await.unwrap().views;
    assert_eq!(states[&job.uid].failures, retried.view.failures);
    let everything = FailureFilter::default();
    let listed = f.store.list_failures(&job.name, &everything, None, 100);
    let listed = listed.await.unwrap().failures;
    assert!(listed.len() == 2 && listed.iter().all(|failure| failure.code == "B"));

    driver.pump().await;
    let again = driver.take_tasks();
    let (redriven, found): (Vec<Task>, Vec<Task>) =
        again.into_iter().partition(|task| task.page < 3);
    assert_eq!(redriven.len(), 2, "and nothing that is still out");
    assert!(
        redriven
            .iter()
            .all(|task| task.index == 1 && task.failures == 0)
    );
    assert_eq!(found.len(), 5);
    // What was said of the failed attempts, once more, is of the past; what was out before is not.
    let applied = driver.answer(&early, said).await;
    assert_eq!((applied.applied, applied.stale), (0, 8));
    let late: Vec<_> = tasks.values().skip(8).cloned().collect();
    assert_eq!(driver.answer(&late, said).await.applied, 2);
    driver.answer(&redriven, |_| ItemEvent::Done).await;
    driver.answer(&found, |_| ItemEvent::Done).await;
    let ended = driver.job(&job).await;
    audit(&f, job.uid).await;
    assert_eq!(ended.state(), JobState::Failed);
    assert_eq!((ended.counts.done, ended.counts.failed), (13, 2));
    assert_eq!(ended.counts.standing_failures(), 2);
    // The end is another life: what failed later is numbered on, and the next run from the
    // beginning.
    driver.control(&job, Action::Retry).await;
    let ended = driver.finish_well(&job).await;
    assert_eq!((ended.counts.done, ended.counts.redriven), (15, 0));
    audit(&f, job.uid).await;
}

pub(crate) async fn more_failures_than_one_transaction_takes_back(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.max_in_flight = 10_000;
    let tree = Tree::new(flat(4500)).in_pages_of(9);
    let job = driver.begin(spec, tree).await;
    let mut tasks = driver.take_tasks();
    while tasks.len() < 4500 {
        driver.take_credit(&job).await;
        driver.pump().await;
        tasks.extend(driver.take_tasks());
    }
    let last = tasks.pop().unwrap();
    driver
        .answer(&tasks, |_| ItemEvent::Failed(failure("A", "no")))
        .await;
    assert_eq!(driver.job(&job).await.counts.failed, 4499);
    let retried = retry_code(&f, &job, "A", false).await.unwrap();
    assert_eq!(retried.view.job.counts.failed, 0);
    assert!(retried.view.failures.is_empty());
    driver.take(retried.committed);
    audit(&f, job.uid).await;
    driver.say(&last, ItemEvent::Done).await;
    let ended = driver.finish_well(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 4500)
    );
    assert_eq!(f.count("item").await, 0);
    audit(&f, job.uid).await;
}
