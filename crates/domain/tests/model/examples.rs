//! Schedules written by hand, to be read: what a job's life looks like.

use headway_domain::{
    JobState,
    jobs::{FailurePolicy, Tolerance},
    reports::Subject,
};

use super::{
    message::{End, Message, Task},
    source::{Fault, Node, Plan, Tree, Trouble},
    world::{World, spec},
};

pub(crate) const TROUBLED: fn(Trouble) -> Plan = |trouble| Plan {
    trouble,
    until: 1,
    ..Plan::GOOD
};

impl World {
    /// Delivers the first message of a kind, to the first worker.
    pub(crate) fn deliver_next(&mut self, fits: fn(&Message) -> bool) {
        let at = self.pipes.iter().position(fits).expect("no such message");
        self.deliver(at, 0, End::Sent, 1);
    }

    /// Splits and sends items until tasks wait for workers.
    pub(crate) fn send_tasks(&mut self) {
        let before = |message: &Message| {
            matches!(
                message,
                Message::Split { .. } | Message::Found { .. } | Message::Dispatch { .. }
            )
        };
        while let Some(at) = self.pipes.iter().position(before) {
            self.deliver(at, 0, End::Sent, 1);
        }
    }
}

pub(crate) fn task(message: &Message) -> bool {
    matches!(message, Message::Task(_))
}

pub(crate) fn report(message: &Message) -> bool {
    matches!(message, Message::Report(_))
}

pub(crate) fn control(message: &Message) -> bool {
    matches!(message, Message::Control { worker: 0, .. })
}

pub(crate) fn counts(world: &World) -> (u64, u64, u64, u64) {
    let counts = &world.job().counts;
    (counts.known, counts.done, counts.failed, counts.discarded)
}

/// A job is split a page at a time, its items run, and nothing is left of it but sums.
#[test]
fn a_job_is_split_worked_on_and_folded() {
    let page = Node::Batch(Tree::flat(vec![vec![Plan::GOOD; 2]]));
    let root = Tree {
        pages: vec![
            (Fault::None, vec![page, Node::Leaf(Plan::GOOD)]),
            (Fault::None, vec![]),
        ],
        declared: true,
    };
    let mut world = World::new(&root, spec());
    assert_eq!(world.job().state(), JobState::Active);
    world.send_tasks();
    assert_eq!(counts(&world), (3, 0, 0, 0));
    assert_eq!(world.job().counts.in_flight(), 3);
    world.deliver_next(task);
    world.deliver_next(report);
    assert_eq!(counts(&world), (3, 1, 0, 0));
    assert_eq!(world.job().percentage().round(), 33.0);
    world.behave();
    assert_eq!(world.job().state(), JobState::Completed);
    assert_eq!(world.job().percentage(), 100.0);
    assert!(world.store.pages.is_empty());
    assert_eq!(world.store.batches[&1].done, 3);
}

/// A passing failure is tried again after its backoff, a lasting one fails the job when all else
/// is done, and a retry runs only what failed.
#[test]
fn a_retry_runs_only_what_failed() {
    let plans = vec![
        Plan::GOOD,
        TROUBLED(Trouble::Flaky(2)),
        TROUBLED(Trouble::Lasting),
    ];
    let mut world = World::new(&Tree::flat(vec![plans]), spec());
    world.behave();
    assert_eq!(world.job().state(), JobState::Failed);
    assert_eq!(counts(&world), (3, 2, 1, 0));
    assert_eq!(world.store.failures.len(), 1);
    world.retry(End::Sent).unwrap();
    assert_eq!(world.job().state(), JobState::Active);
    assert_eq!(counts(&world), (3, 2, 0, 0));
    world.send_tasks();
    let tasks = world.pipes.iter().filter(|message| task(message));
    assert_eq!(tasks.count(), 1);
    world.behave();
    assert_eq!(world.job().state(), JobState::Completed);
    assert_eq!(counts(&world), (3, 3, 0, 0));
}

/// A worker that heard of the pause parks what it meets; resuming sends it again, under the same
/// attempt, and only once.
#[test]
fn a_pause_parks_and_a_resume_sends_again() {
    let mut world = World::new(&Tree::flat(vec![vec![Plan::GOOD; 3]]), spec());
    world.send_tasks();
    world.pause(End::Sent).unwrap();
    assert_eq!(world.job().state(), JobState::Paused);
    world.deliver_next(control);
    world.deliver_next(task);
    world.deliver_next(report);
    assert_eq!(world.job().counts.parked, 1);
    world.resume(End::Sent).unwrap();
    assert_eq!(world.job().counts.parked, 0);
    assert_eq!(world.job().counts.in_flight(), 3);
    world.complete();
    assert_eq!(counts(&world), (3, 3, 0, 0));
}

/// A worker that still believes in a pause parks an item of a running job: it is sent again with
/// a control counter that the worker's belief is too old for.
#[test]
fn an_old_belief_does_not_hold_a_job() {
    let mut world = World::new(&Tree::flat(vec![vec![Plan::GOOD]]), spec());
    world.send_tasks();
    world.pause(End::Sent).unwrap();
    world.deliver_next(control);
    // The broadcast of the resume is lost.
    world.resume(End::Unsent).unwrap();
    world.deliver_next(task);
    world.deliver_next(report);
    assert_eq!(world.job().counts.parked, 0);
    world.send_tasks();
    world.deliver_next(task);
    world.deliver_next(report);
    assert_eq!(world.job().state(), JobState::Completed);
}

/// A cancelled job is final at once and settled when nothing of it runs; then it can be retried.
#[test]
fn a_cancelled_job_settles_and_can_be_retried() {
    let mut world = World::new(&Tree::flat(vec![vec![Plan::GOOD; 8]]), spec());
    world.send_tasks();
    world.deliver_next(task);
    world.deliver_next(report);
    world.cancel(End::Sent).unwrap();
    assert_eq!(world.job().state(), JobState::Cancelled);
    assert_eq!(world.job().settled, None);
    assert!(world.retry(End::Sent).is_err(), "some of it may still run");
    world.behave();
    assert!(world.job().settled.is_some());
    let (known, done, _, discarded) = counts(&world);
    assert_eq!(
        (known, done + discarded + world.job().counts.open_items()),
        (8, 8)
    );
    assert!(discarded > 0);
    world.retry(End::Sent).unwrap();
    world.complete();
    assert_eq!(counts(&world), (8, 8, 0, 0));
}

/// With STOP a job ends as soon as more failed than is tolerated, and the rest does not run.
#[test]
fn a_stop_policy_ends_the_job_early() {
    let mut plans = vec![Plan::GOOD; 20];
    plans[0] = TROUBLED(Trouble::Lasting);
    let mut spec = spec();
    spec.failure_policy = FailurePolicy {
        tolerance: Tolerance::Items(0),
        stop: true,
    };
    let mut world = World::new(&Tree::flat(vec![plans]), spec);
    world.send_tasks();
    world.deliver_next(task);
    world.deliver_next(report);
    assert_eq!(world.job().state(), JobState::Failed);
    assert!(world.pipes.iter().any(control));
    world.behave();
    let counts = world.job().counts.clone();
    assert_eq!(counts.failed, 1);
    assert!(
        counts.unreleased > 0,
        "what was never sent stays open for a retry"
    );
    world.retry(End::Sent).unwrap();
    world.complete();
    assert_eq!(world.done.len(), 20);
}

/// A broker that lost everything costs time alone.
#[test]
fn a_lost_broker_loses_no_work() {
    let plans = vec![
        Plan {
            forward: true,
            ..Plan::GOOD
        };
        4
    ];
    let mut world = World::new(&Tree::flat(vec![plans.clone(), plans]), spec());
    world.send_tasks();
    world.deliver_next(task);
    world.deliver_next(report);
    world.lose_broker();
    world.complete();
    assert_eq!(counts(&world), (8, 8, 0, 0));
}

/// A page that cannot be split fails the job, and a retry splits it again.
#[test]
fn a_page_that_cannot_be_split_is_split_by_a_retry() {
    let tree = Tree {
        pages: vec![
            (Fault::None, vec![Node::Leaf(Plan::GOOD)]),
            (Fault::Lasting(1), vec![Node::Leaf(Plan::GOOD)]),
        ],
        declared: false,
    };
    let mut world = World::new(&tree, spec());
    world.behave();
    assert_eq!(world.job().state(), JobState::Failed);
    assert_eq!(counts(&world), (1, 1, 0, 0));
    assert!(matches!(world.store.failures[0].subject, Subject::Page(_)));
    world.retry(End::Sent).unwrap();
    world.complete();
    assert_eq!(counts(&world), (2, 2, 0, 0));
}

/// Whoever was given up for dead and answers after all answers too late: the item was sent again,
/// under another attempt, by a suspicion or by repair.
#[test]
fn an_answer_to_an_older_attempt_comes_too_late() {
    let plan = Plan {
        forward: true,
        ..Plan::GOOD
    };
    let mut world = World::new(&Tree::flat(vec![vec![plan]]), spec());
    world.send_tasks();
    let copy = world.pipes[0].clone();
    world.deliver_next(task);
    // The answer stays away; the copy makes a suspect of the item, and later repair sends it again.
    let mut late = world.pipes.pop();
    world.pipes.extend(redelivered(copy));
    for repaired in [false, true] {
        if repaired {
            world.pipes.clear();
            world.repair(world.now + 1, End::Sent);
        } else {
            world.deliver_next(task);
            world.deliver_next(report);
        }
        let revision = world.job().revision;
        world.pipes.extend(late.take());
        let at = world.pipes.len() - 1;
        world.deliver(at, 0, End::Sent, 1);
        assert_eq!(world.job().revision, revision, "an older attempt counts");
        world.send_tasks();
        world.deliver_next(task);
        late = world.pipes.pop();
    }
    world.lossy = true;
    world.complete();
}

/// What failed is run again while the job goes on; what else is out goes on too, and nothing that
/// was said of the failed attempt counts.
#[test]
fn a_failure_is_taken_back_while_the_job_runs() {
    let leaves = vec![Plan::GOOD, TROUBLED(Trouble::Lasting), Plan::GOOD];
    let mut alone = spec();
    alone.items_per_message = 1;
    let mut world = World::new(&Tree::flat(vec![leaves]), alone);
    world.send_tasks();
    for number in [1, 0] {
        let at = |message: &Message| matches!(message, Message::Task(task) if task.items[0].index == number);
        let at = world.pipes.iter().position(at).expect("a task");
        world.deliver(at, 0, End::Sent, 1);
        let said = world.pipes.last().cloned().expect("a report");
        world.deliver_next(report);
        if number == 1 {
            assert_eq!(counts(&world), (3, 0, 1, 0));
            world.redrive(2, End::Sent).unwrap();
            assert_eq!(counts(&world), (3, 0, 0, 0));
            assert_eq!(world.job().counts.in_flight(), 3);
            // A copy of the report comes late.
            world.pipes.push(said);
            world.deliver(world.pipes.len() - 1, 0, End::Sent, 1);
        }
    }
    assert_eq!(counts(&world), (3, 1, 0, 0));
    world.behave();
    assert_eq!(counts(&world), (3, 2, 1, 0));
    let counts = &world.job().counts;
    assert_eq!((counts.failures, counts.standing_failures()), (2, 1));
    world.redrive(2, End::Sent).unwrap_err();
    world.complete();
}

pub(crate) fn redelivered(message: Message) -> Option<Message> {
    match message {
        Message::Task(task) => Some(Message::Task(Task {
            redelivered: true,
            ..task
        })),
        _ => None,
    }
}
