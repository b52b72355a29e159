//! Schedules that once went wrong, kept as they were found.

use headway_domain::{
    JobState,
    jobs::Phase,
    reports::{ItemEvent, PageReport},
};

use super::{
    examples::{report, task},
    message::{End, Message},
    source::{Fault, Node, Plan, Tree, Trouble},
    store::Touch,
    world::{World, spec},
};

const SLOW: Plan = Plan {
    slow: true,
    ..Plan::GOOD
};

fn is(wanted: &ItemEvent, message: &Message) -> bool {
    let Message::Report(PageReport { items, .. }) = message else {
        return false;
    };
    items.iter().any(|item| item.event == *wanted)
}

/// A copy of a leased item's message is parked while the job is paused: the parked item must not
/// keep the lease, or its end discards an item that still counts as parked.
#[test]
fn a_parked_item_holds_no_lease() {
    let mut world = World::new(&Tree::flat(vec![vec![SLOW]]), spec());
    world.send_tasks();
    let copy = world.pipes[0].clone();
    world.deliver_next(task);
    world.deliver_next(|message| is(&ItemEvent::Leased, message));
    world.pause(End::Sent).unwrap();
    world.deliver_next(|message| matches!(message, Message::Control { worker: 0, .. }));
    world.pipes = vec![copy];
    world.deliver_next(task);
    world.deliver_next(report);
    assert_eq!(world.job().counts.parked, 1);
    assert_eq!(world.next_timer(), None);
    world.cancel(End::Sent).unwrap();
    assert!(world.job().settled.is_some());
    world.lossy = true;
    world.complete();
}

/// A suspect that is started alone and then leased has died once when the lease ends, not twice.
#[test]
fn a_start_and_its_lease_count_once() {
    let mut world = World::new(&Tree::flat(vec![vec![SLOW]]), spec());
    for _ in 0..2 {
        world.send_tasks();
        world.deliver_next(task);
        // The reports of its start and of its lease arrive, nothing else does.
        while world
            .pipes
            .iter()
            .any(|message| is(&ItemEvent::Started, message))
        {
            world.deliver_next(|message| is(&ItemEvent::Started, message));
        }
        world.deliver_next(|message| is(&ItemEvent::Leased, message));
        world.pipes.clear();
        world.tick(world.next_timer().unwrap() - world.now, End::Sent);
    }
    assert_eq!(world.job().counts.failed, 0, "given up after two tries");
    world.behave();
    assert_eq!(world.job().state(), JobState::Completed);
}

/// A job is cancelled and retried before all pages of the run before were opened again.
#[test]
fn pages_of_two_runs_ago_are_opened_again() {
    let plan = Plan {
        trouble: Trouble::Lasting,
        until: 1,
        ..Plan::GOOD
    };
    let mut world = World::new(&Tree::flat(vec![vec![plan]; 4]), spec());
    world.loads = 1;
    world.reopens = 1;
    world.behave();
    assert_eq!(world.job().counts.retained, 4);
    world.retry(End::Sent).unwrap();
    assert_eq!(world.job().counts.reopen, 3);
    world.cancel(End::Sent).unwrap();
    world.behave();
    world.retry(End::Sent).unwrap();
    assert_eq!(world.job().counts.reopen, 3);
    world.complete();
    assert_eq!(world.done.len(), 4);
}

/// A batch worker that was asked in one run and answers in the next.
#[test]
fn a_split_of_an_older_run_fails_nothing() {
    let tree = Tree {
        pages: vec![(Fault::Lasting(1), vec![Node::Leaf(Plan::GOOD)])],
        declared: false,
    };
    let found = |message: &Message| matches!(message, Message::Found { .. });
    let mut world = World::new(&tree, spec());
    world.deliver_next(|message| matches!(message, Message::Split { .. }));
    let late = world.pipes[0].clone();
    world.deliver_next(found);
    assert_eq!(world.job().phase, Phase::Failed);
    world.retry(End::Sent).unwrap();
    world.pipes.insert(0, late.clone());
    world.deliver_next(found);
    assert_eq!(world.job().phase, Phase::Active);
    world.complete();

    // The same when the request was taken back because the job had ended.
    let mut world = World::new(&tree, spec());
    world.cancel(End::Sent).unwrap();
    world.deliver_next(|message| matches!(message, Message::Split { .. }));
    world.retry(End::Sent).unwrap();
    world.pipes.insert(0, late);
    world.deliver_next(found);
    assert_eq!(world.job().phase, Phase::Active);
    world.complete();
}

/// A splitter's denial, and items taken back, of a page that its run has not opened again yet.
#[test]
fn a_page_that_is_not_opened_again_yet_stays_as_it_is() {
    let plans = vec![vec![Plan::GOOD; 2]; 2];
    let mut world = World::new(&Tree::flat(plans), spec());
    world.loads = 1;
    world.reopens = 1;
    world.send_tasks();
    world.pause(End::Sent).unwrap();
    while world.pipes.iter().any(|message| !report(message)) {
        let at = world
            .pipes
            .iter()
            .position(|message| !report(message))
            .unwrap();
        let message = world.take(at);
        if let Message::Task(task) = message {
            let indexes: Vec<u32> = task.items.iter().map(|item| item.index).collect();
            let touched = [Touch::some(task.page, indexes.clone())];
            world.transact(&touched, End::Sent, |slice| {
                slice.withhold_items(task.page, &indexes);
            });
        }
    }
    assert_eq!(world.job().counts.parked, 4);
    world.cancel(End::Sent).unwrap();
    world.retry(End::Sent).unwrap();
    let old = world
        .store
        .pages
        .values()
        .find(|page| page.run == 0)
        .unwrap()
        .number;
    assert_eq!(world.store.pages[&old].parked.len(), 2);
    // Keeps the page from being opened by the transaction itself.
    world.pause(End::Sent).unwrap();
    let before = world.job().counts.clone();
    world.transact(&[Touch::all(old)], End::Sent, |slice| {
        slice.not_reproducible(old, &[0]);
        slice.withhold_items(old, &[1]);
        slice.fire_items(&[(old, 0), (old, 1)]);
    });
    assert_eq!(world.job().counts, before);
    world.lossy = true;
    world.complete();
    assert_eq!(world.done.len(), 4);
}

/// What comes for a page that is gone must not raise the revision: every watcher would wake.
#[test]
fn a_message_for_a_folded_page_is_no_change() {
    let mut world = World::new(&Tree::flat(vec![vec![Plan::GOOD]]), spec());
    world.complete();
    let revision = world.job().revision;
    for message in world.history.clone() {
        world.pipes.push(message);
        world.deliver(0, 0, End::Sent, 1);
        world.pipes.clear();
    }
    assert_eq!(world.job().revision, revision);
}
