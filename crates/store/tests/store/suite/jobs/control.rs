//! Pause, resume and cancel.

use headway_domain::{
    Error, JobState,
    error::Action,
    events::Caller,
    jobs::JobUpdate,
    reports::{Failed, ItemEvent},
    slice::Disposition,
};
use headway_store::{Controlled, FailureFilter, OutboxKind, Retry, SplitPlan, StoreError, Target};

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Started, Tree, flat},
    failures::failure,
    name, new_job, task,
};

impl Driver {
    /// Applies a control action that must be possible, and keeps its messages.
    pub(crate) async fn control(&mut self, started: &Started, action: Action) -> Controlled {
        let done = self
            .store
            .control_job(&started.name, action, &Caller::default())
            .await
            .unwrap();
        self.controls.clear();
        self.take(done.committed.clone());
        done
    }
}

/// Every state, and what is possible in it: pause, resume, cancel, retry.
pub(crate) async fn illegal_transitions(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let cases = [
        (JobState::Active, [true, true, true, false]),
        (JobState::Paused, [true, true, true, false]),
        (JobState::Completed, [false, false, false, false]),
        (JobState::Failed, [false, false, false, true]),
        (JobState::Cancelled, [false, false, true, true]),
    ];
    let actions = [Action::Pause, Action::Resume, Action::Cancel, Action::Retry];
    for (state, possible) in cases {
        for (action, possible) in actions.into_iter().zip(possible) {
            let job = driver.begin(task("x"), Tree::new(Vec::new())).await;
            let tasks = driver.take_tasks();
            match state {
                JobState::Paused => drop(driver.control(&job, Action::Pause).await),
                JobState::Completed => drop(driver.answer(&tasks, |_| ItemEvent::Done).await),
                JobState::Failed => {
                    let failed = ItemEvent::Failed(failure("E", "no"));
                    driver.answer(&tasks, |_| failed.clone()).await;
                }
                JobState::Cancelled => {
                    driver.control(&job, Action::Cancel).await;
                    driver.answer(&tasks, |_| ItemEvent::Discarded).await;
                }
                JobState::Active | JobState::Waiting => {}
            }
            let before = driver.job(&job).await;
            assert_eq!(before.state(), state);
            match f
                .store
                .control_job(&job.name, action, &Caller::default())
                .await
            {
                Ok(_) => assert!(possible, "{action:?} of {state}"),
                Err(StoreError::Domain(Error::IllegalTransition {
                    job: named,
                    action: refused,
                    state: shown,
                    settled,
                })) => {
                    assert!(!possible, "{action:?} of {state}");
                    assert_eq!((named, refused, shown), (job.name.clone(), action, state));
                    assert_eq!(settled, before.settled.is_some());
                    assert_eq!(driver.job(&job).await, before);
                }
                Err(error) => panic!("{action:?} of {state}: {error}"),
            }
        }
    }
    // A cancelled job with an item at a worker has to wait.
    let job = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.control(&job, Action::Cancel).await;
    let refused = f
        .store
        .control_job(&job.name, Action::Retry, &Caller::default())
        .await;
    assert!(matches!(
        refused.unwrap_err(),
        StoreError::Domain(Error::IllegalTransition { settled: false, .. })
    ));
}

/// Where the name stands for no job any more, or for another one, at the moment of the answer.
pub(crate) async fn an_answer_is_about_the_job_that_changed(f: Fixture) {
    let caller = Caller::default();
    let mut uids = Vec::new();
    for job in ["pause", "update", "retry"] {
        let created = f.store.create_job(new_job(name(job), task("x"))).await;
        uids.push(created.unwrap().view.job.meta.uid);
    }
    let retry = name("retry");
    let cancelled = f.store.control_job(&retry, Action::Cancel, &caller).await;
    cancelled.unwrap();
    f.sql("UPDATE job_progress SET settled = 1 WHERE ended > 0")
        .await;
    // Whatever changes a job renames it.
    let moved = "UPDATE job SET job_id = 'moved-' || NEW.job_key WHERE job_key = NEW.job_key";
    f.trigger("UPDATE ON job_progress", moved).await;
    let update = JobUpdate {
        priority: Some(7),
        ..JobUpdate::default()
    };
    let (pause, changed) = (name("pause"), name("update"));
    let done = [
        f.store.control_job(&pause, Action::Pause, &caller).await,
        f.store.update_job(&changed, update, &caller).await,
        f.store.retry_job(&retry, &Retry::default(), &caller).await,
    ];
    let answered = done.map(|done| done.unwrap().view.job.meta.uid);
    assert_eq!(answered.as_slice(), uids);
    let gone = f.store.job(&pause).await.unwrap_err();
    assert!(matches!(gone, StoreError::Domain(Error::JobNotFound(_))));
}

/// A job that was created again under a name is another one.
pub(crate) async fn a_uid_means_one_job(f: Fixture) {
    let caller = Caller::default();
    let named = name("again");
    let create = || async {
        let created = f.store.create_job(new_job(named.clone(), task("x"))).await;
        created.unwrap().view.job.meta.uid
    };
    let old = create().await;
    f.store.delete_job(&named, &caller).await.unwrap();
    let new = create().await;
    let target = |uid| Target {
        name: &named,
        uid: Some(uid),
    };
    let update = || JobUpdate {
        priority: Some(7),
        ..JobUpdate::default()
    };
    let some = Retry {
        filter: FailureFilter {
            codes: vec!["E".to_owned()],
            ..FailureFilter::default()
        },
        ..Retry::default()
    };
    let before = f.store.job(&named).await.unwrap().job;
    let meant = target(old);
    let mut refused = Vec::new();
    for action in [Action::Pause, Action::Resume, Action::Cancel, Action::Retry] {
        let done = f.store.control_job(meant, action, &caller).await;
        refused.push(done.map(drop).unwrap_err());
    }
    let done = f.store.retry_job(meant, &some, &caller).await;
    refused.push(done.map(drop).unwrap_err());
    let done = f.store.update_job(meant, update(), &caller).await;
    refused.push(done.map(drop).unwrap_err());
    let done = f.store.delete_job(meant, &caller).await;
    refused.push(done.map(drop).unwrap_err());
    for error in refused {
        let gone = matches!(&error, StoreError::Domain(Error::JobNotFound(of)) if *of == named);
        assert!(gone, "{error}");
    }
    assert_eq!(f.store.job(&named).await.unwrap().job, before);
    let meant = target(new);
    f.store
        .control_job(meant, Action::Pause, &caller)
        .await
        .unwrap();
    let updated = f.store.update_job(meant, update(), &caller).await.unwrap();
    assert_eq!(updated.view.job.meta.spec.priority, 7);
    f.store.delete_job(meant, &caller).await.unwrap();
    let gone = f.store.delete_job(meant, &caller).await;
    assert!(gone.is_err());
}

pub(crate) async fn repeated_actions_change_nothing(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(task("x"), Tree::new(Vec::new())).await;
    for action in [Action::Resume, Action::Pause, Action::Cancel] {
        driver.control(&job, action).await;
        let before = driver.job(&job).await;
        let again = driver.control(&job, action).await;
        assert!(again.committed.controls.is_empty());
        assert!(again.committed.changes.is_empty());
        assert_eq!(again.view.job, before, "{action:?}");
    }
}

pub(crate) async fn paused_items_are_parked_and_sent_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(10)).in_pages_of(4))
        .await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), 10);
    let paused = driver.control(&job, Action::Pause).await;
    assert_eq!(paused.view.job.state(), JobState::Paused);
    assert_eq!(driver.controls[0].disposition, Disposition::Park);
    assert_eq!(driver.controls[0].control, paused.view.job.control);
    // Running items end, the others are set aside.
    driver.answer(&tasks[..3], |_| ItemEvent::Done).await;
    driver.answer(&tasks[3..], |_| ItemEvent::Parked).await;
    let held = driver.job(&job).await;
    assert_eq!((held.counts.parked, held.counts.in_flight()), (7, 0));
    audit(&f, job.uid).await;
    driver.pump().await;
    assert!(driver.tasks.is_empty());

    let resumed = driver.control(&job, Action::Resume).await;
    assert_eq!(resumed.view.job.state(), JobState::Active);
    assert_eq!(driver.controls[0].disposition, Disposition::Run);
    assert!(driver.controls[0].control > paused.view.job.control);
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 7);
    let job = driver.finish_well(&job).await;
    assert_eq!((job.state(), job.counts.done), (JobState::Completed, 10));
    assert_eq!(job.percentage(), 100.0);
}

/// The worker knew an older status: the job is active again when its report comes.
pub(crate) async fn parked_too_late_is_sent_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(3))).await;
    let tasks = driver.take_tasks();
    driver.control(&job, Action::Pause).await;
    driver.control(&job, Action::Resume).await;
    driver.answer(&tasks, |_| ItemEvent::Parked).await;
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 3);
    audit(&f, job.uid).await;
    let job = driver.finish_well(&job).await;
    assert_eq!(job.counts.done, 3);
}

/// A batch worker meets the message of a paused job.
pub(crate) async fn a_dispatch_of_a_paused_job_is_parked(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.create(task("x"), Tree::new(Vec::new())).await;
    driver.control(&job, Action::Pause).await;
    driver.pump().await;
    assert!(driver.tasks.is_empty());
    assert_eq!(driver.job(&job).await.counts.parked, 1);
    audit(&f, job.uid).await;
    driver.control(&job, Action::Resume).await;
    let job = driver.finish_well(&job).await;
    assert_eq!(job.state(), JobState::Completed);
}

pub(crate) async fn a_split_of_a_paused_job_is_taken_back(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.create(batch(), Tree::new(flat(5))).await;
    driver.control(&job, Action::Pause).await;
    driver.pump().await;
    let held = driver.job(&job).await;
    assert_eq!((held.counts.splitting, held.counts.unsplit), (0, 1));
    audit(&f, job.uid).await;
    driver.control(&job, Action::Resume).await;
    assert_eq!(driver.outbox[0].kind, OutboxKind::Split);
    let job = driver.finish_well(&job).await;
    assert_eq!((job.state(), job.counts.done), (JobState::Completed, 5));
}

pub(crate) async fn cancel_settles(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(6))).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks[..2], |_| ItemEvent::Done).await;
    let cancelled = driver.control(&job, Action::Cancel).await.view.job;
    assert_eq!(cancelled.state(), JobState::Cancelled);
    assert!(cancelled.ended.is_some() && cancelled.settled.is_none());
    assert_eq!(driver.controls[0].disposition, Disposition::Discard);
    // One was running and ends; one fails in a way that would be tried again.
    driver.say(&tasks[2], ItemEvent::Done).await;
    let failed = Failed {
        retryable: true,
        ..failure("E", "no")
    };
    driver.say(&tasks[3], ItemEvent::Failed(failed)).await;
    driver.say(&tasks[4], ItemEvent::Parked).await;
    assert!(driver.job(&job).await.settled.is_none());
    audit(&f, job.uid).await;
    driver.say(&tasks[5], ItemEvent::Discarded).await;
    let settled = driver.job(&job).await;
    assert!(settled.settled.is_some());
    assert_eq!(settled.state(), JobState::Cancelled);
    let counts = &settled.counts;
    assert_eq!((counts.done, counts.failed, counts.discarded), (3, 1, 2));
    assert!(settled.percentage() < 100.0);
    audit(&f, job.uid).await;
}

pub(crate) async fn cancel_while_splitting(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let tree = Tree::new(flat(5));
    let job = driver.create(batch(), tree.clone()).await;
    let message = driver.outbox.pop_front().unwrap();
    let plan = f
        .store
        .plan_split(job.uid, message.page, message.attempt)
        .await
        .unwrap();
    let SplitPlan::Split(source) = plan else {
        panic!("{plan:?}")
    };
    let cancelled = driver.control(&job, Action::Cancel).await.view.job;
    assert!(cancelled.settled.is_none(), "a split is under way");
    let result = f
        .store
        .record_split(&source, message.attempt, tree.split(&source))
        .await
        .unwrap();
    assert!(result.release.unwrap().indexes.is_empty());
    assert!(result.committed.outbox.is_empty());
    let job_now = driver.job(&job).await;
    assert!(job_now.settled.is_some());
    assert_eq!((job_now.counts.known, job_now.counts.unreleased), (5, 5));
    audit(&f, job.uid).await;

    // A split that nobody has begun is taken back.
    let job = driver.create(batch(), tree).await;
    driver.control(&job, Action::Cancel).await;
    driver.pump().await;
    assert!(driver.job(&job).await.settled.is_some());
    audit(&f, job.uid).await;
}

pub(crate) async fn discarding_a_job_that_runs_sends_again(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks, |_| ItemEvent::Discarded).await;
    assert_eq!(driver.job(&job).await.counts.discarded, 0);
    driver.pump().await;
    assert_eq!(driver.tasks.len(), 2);
    assert_eq!(driver.finish_well(&job).await.counts.done, 2);
}

/// Controls in quick turns while items come and go; workers answer by what they knew when they were
/// asked.
pub(crate) async fn quick_turns(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(40)).in_pages_of(7))
        .await;
    let turns = [
        Action::Pause,
        Action::Resume,
        Action::Pause,
        Action::Cancel,
        Action::Retry,
        Action::Pause,
        Action::Resume,
    ];
    for (turn, action) in turns.into_iter().enumerate() {
        driver.pump().await;
        let tasks = driver.take_tasks();
        if action == Action::Retry {
            driver.answer(&tasks, |_| ItemEvent::Discarded).await;
        } else {
            driver
                .answer(&tasks, |task| {
                    match (task.index + task.page + turn as u32) % 4 {
                        0 => ItemEvent::Done,
                        1 => ItemEvent::Parked,
                        _ => ItemEvent::Discarded,
                    }
                })
                .await;
        }
        driver.control(&job, action).await;
        // What was known before the turn is told again: it must not count twice.
        driver.answer(&tasks, |_| ItemEvent::Parked).await;
        driver.pump().await;
        audit(&f, job.uid).await;
    }
    let ended = driver.finish_well(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, 40)
    );
    audit(&f, job.uid).await;
}
