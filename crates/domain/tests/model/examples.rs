//! Schedules written by hand, to be read: what a job's life looks like.

use headway_domain::{
    JobState,
    effect::{Failed, Subject, code},
    event::EventKind,
    job::Phase,
    limits,
    report::ItemEvent,
    spec::FailurePolicy,
    spec::Tolerance,
};

use super::{
    schedule::Step,
    source::{Fault, Node, Plan, Tree, Trouble},
    world::{End, Message, Task, World, spec},
};

const TROUBLED: fn(Trouble) -> Plan = |trouble| Plan {
    trouble,
    until: 1,
    ..Plan::GOOD
};

impl World {
    /// Delivers the first message of a kind, to the first worker.
    pub fn deliver_next(&mut self, fits: fn(&Message) -> bool) {
        let at = self.pipes.iter().position(fits).expect("no such message");
        self.deliver(at, 0, End::Sent, 1);
    }

    /// Splits and sends items until tasks wait for workers.
    pub fn send_tasks(&mut self) {
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

pub fn task(message: &Message) -> bool {
    matches!(message, Message::Task(_))
}

pub fn report(message: &Message) -> bool {
    matches!(message, Message::Report(_))
}

fn control(message: &Message) -> bool {
    matches!(message, Message::Control { worker: 0, .. })
}

fn counts(world: &World) -> (u64, u64, u64, u64) {
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

/// An item that kills its workers runs alone after the second death, so that its neighbours live, and is given up
/// after the third. Its neighbours ran beside it twice and once alone.
#[test]
fn an_item_that_kills_its_workers_is_given_up() {
    let plans = vec![Plan::GOOD, TROUBLED(Trouble::Killer), Plan::GOOD];
    let mut spec = spec();
    spec.items_per_message = 3;
    let mut world = World::new(&Tree::flat(vec![plans]), spec);
    world.behave();
    assert_eq!(counts(&world), (3, 2, 1, 0));
    assert_eq!(world.store.failures[0].failure.code, code::POISON);
    assert_eq!(world.doubts[&1], 3);
    assert_eq!(world.doubts[&0], 2);
}

/// What was redelivered once runs again at once beside all else, and what of it did not start is not to blame for the
/// next death.
#[test]
fn a_first_death_makes_nobody_a_suspect() {
    let mut one = spec();
    one.items_per_message = 1;
    let mut world = World::new(&Tree::flat(vec![vec![Plan::GOOD; 2]]), one);
    world.send_tasks();
    let starts = |world: &World| {
        let rows = world.store.items.values();
        rows.map(|row| (row.starts, row.alone)).collect::<Vec<_>>()
    };
    for death in 1..=5 {
        // The process held both when it died; from the second time on only the first had started.
        let held: Vec<Message> = std::mem::take(&mut world.pipes);
        assert_eq!(held.len(), 2);
        if death == 2 {
            let Message::Task(task) = &held[0] else {
                unreachable!()
            };
            assert!(task.announced && !task.alone);
            world.lie(task, 0, &ItemEvent::Started);
            world.deliver_next(report);
        }
        world.pipes.extend(held.into_iter().filter_map(redelivered));
        for _ in 0..2 {
            world.deliver_next(task);
            world.deliver_next(report);
        }
        world.send_tasks();
        let first = if death == 1 { (1, false) } else { (2, true) };
        assert_eq!(starts(&world), [first, (1, false)]);
    }
    world.complete();
    assert_eq!(counts(&world), (2, 2, 0, 0));
}

/// A worker that ends hands back what it leased: it is sent again at once, as often as workers end, and nothing that
/// was said of the earlier try fits any more.
#[test]
fn a_worker_that_ends_hands_back_what_it_leased() {
    for event in [ItemEvent::Parked, ItemEvent::Discarded] {
        let mut world = World::new(&Tree::flat(vec![vec![Plan::GOOD]]), spec());
        for restart in 0..5 {
            world.send_tasks();
            let Message::Task(task) = world.take(0) else {
                panic!("no task is sent after {restart} restarts");
            };
            assert!(!task.alone && !task.announced);
            world.lie(&task, 0, &ItemEvent::Leased);
            world.deliver_next(report);
            assert!(world.next_timer().is_some());
            // Another worker has a copy of the message.
            world.lie(&task, 1, &event);
            world.deliver_next(report);
            assert!(
                world.next_timer().is_some(),
                "the lease is another worker's"
            );
            world.lie(&task, 0, &event);
            world.deliver_next(report);
            assert_eq!(world.next_timer(), None);
            world.lie(&task, 0, &ItemEvent::Leased);
            world.deliver_next(report);
            assert_eq!(world.next_timer(), None, "a late report leases it again");
        }
        world.complete();
        assert_eq!(counts(&world), (1, 1, 0, 0));
    }
}

/// A start that was announced counts no longer once its worker hands the item back, or the try fails.
#[test]
fn a_start_with_an_outcome_does_not_count() {
    let failed = ItemEvent::Failed(Failed {
        retryable: true,
        ..Failed::default()
    });
    let mut patient = spec();
    patient.retry_policy.max_attempts = 10;
    let mut world = World::new(&Tree::flat(vec![vec![Plan::GOOD]]), patient);
    world.send_tasks();
    world.step(&Step::Redeliver(0));
    world.deliver_next(task);
    world.deliver_next(report);
    for event in [&failed, &ItemEvent::Parked].repeat(3) {
        if let Some(due) = world.next_timer() {
            world.tick(due - world.now, End::Sent);
        }
        world.send_tasks();
        let Message::Task(task) = world.take(0) else {
            panic!("no task is sent");
        };
        assert!(task.announced && !task.alone);
        world.lie(&task, 0, &ItemEvent::Started);
        world.lie(&task, 0, event);
        world.deliver_next(report);
        assert_eq!(world.store.items[&(task.page, 0)].starts, 2);
        world.deliver_next(report);
        assert_eq!(world.store.items[&(task.page, 0)].starts, 1);
    }
    world.complete();
}

/// A lease that nobody renews ends; the third time the item is given up.
#[test]
fn an_item_that_hangs_is_given_up() {
    let slow = Plan {
        slow: true,
        ..Plan::GOOD
    };
    let mut world = World::new(&Tree::flat(vec![vec![slow]]), spec());
    for losses in 1..=3 {
        world.send_tasks();
        world.deliver_next(task);
        // Its worker reports the lease and is never heard of again.
        while let Some(at) = world.pipes.iter().position(report) {
            if matches!(&world.pipes[at], Message::Report(report) if !report.done.is_empty()
                || report.items.iter().any(|item| item.event == headway_domain::report::ItemEvent::Done))
            {
                world.pipes.remove(at);
            } else {
                world.deliver(at, 0, End::Sent, 1);
            }
        }
        assert_eq!(world.job().phase, Phase::Active);
        let wait = world.next_timer().unwrap() - world.now;
        world.tick(wait, End::Sent);
        assert_eq!(world.job().counts.failed, u64::from(losses == 3));
    }
    assert_eq!(world.store.failures[0].failure.code, code::POISON);
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

/// Whoever was given up for dead and answers after all answers too late: the item was sent anew,
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

fn redelivered(message: Message) -> Option<Message> {
    match message {
        Message::Task(task) => Some(Message::Task(Task {
            redelivered: true,
            ..task
        })),
        _ => None,
    }
}

/// What failed is run again while the job goes on; what else is out goes on too, and nothing that was said of the failed attempt counts.
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

fn nested(levels: usize) -> Tree {
    let leaf = Tree::flat(vec![vec![Plan::GOOD]]);
    (0..levels).fold(leaf, |inner, _| Tree {
        pages: vec![(
            Fault::None,
            vec![Node::Batch(inner), Node::Leaf(Plan::GOOD)],
        )],
        declared: false,
    })
}

/// The events of a job do not grow with its batches: the first have one each, then all of them have one together.
#[test]
fn splits_of_a_large_job_are_summed_up() {
    let splits = |world: &World| -> Vec<_> {
        let events = world.store.events.iter();
        let splits = events.filter(|event| event.kind == EventKind::BatchSplit);
        splits.map(|event| (event.batch, event.items)).collect()
    };
    let mut small = World::new(&nested(15), spec());
    small.behave();
    assert_eq!(splits(&small).len(), 16);
    for levels in [16, 60] {
        let mut world = World::new(&nested(levels), spec());
        world.behave();
        assert_eq!(world.job().state(), JobState::Completed);
        let splits = splits(&world);
        assert_eq!(splits.len(), 17, "{levels}");
        let all = u64::try_from(levels).unwrap() + 1;
        assert_eq!(splits.last(), Some(&(None, all)));
    }
}

/// Batches that lie too deep fail the page that they were found in, with a sentence.
#[test]
fn the_depth_of_batches_is_bounded() {
    for (depth, state) in [
        (limits::MAX_BATCH_DEPTH - 1, JobState::Completed),
        (limits::MAX_BATCH_DEPTH, JobState::Failed),
    ] {
        let mut world = World::new(&nested(1), spec());
        world.store.batches.get_mut(&1).unwrap().depth = depth;
        world.store.pages.get_mut(&1).unwrap().depth = depth;
        world.behave();
        assert_eq!(world.job().state(), state);
        let failures: Vec<_> = world.store.failures.iter().collect();
        assert_eq!(failures.len(), usize::from(state == JobState::Failed));
        assert!(failures.iter().all(|failure| {
            failure.failure.code == code::SPLIT_FAILED
                && failure.failure.message.contains("1000 levels")
        }));
    }
}

/// A level costs what any other costs: a deep tree is no dearer than a wide one of as many batches.
#[test]
fn the_cost_of_a_level_does_not_grow_with_its_depth() {
    let seen = |levels: usize| {
        let mut world = World::new(&nested(levels), spec());
        world.behave();
        assert_eq!(world.job().state(), JobState::Completed);
        world.store.batches_seen
    };
    let (some, more) = (seen(100), seen(300));
    assert!(
        more < 4 * some,
        "{some} batches at 100 levels, {more} at 300"
    );
}
