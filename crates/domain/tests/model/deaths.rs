//! Schedules written by hand: workers that die, hang or end with items in their hands.

use headway_domain::{
    jobs::Phase,
    reports::{Failed, ItemEvent, code},
};

use super::{
    examples::{TROUBLED, counts, redelivered, report, task},
    message::{End, Message},
    schedule::Step,
    source::{Plan, Tree, Trouble},
    world::{World, spec},
};

/// An item that kills its workers runs alone after the second death, so that its neighbours live,
/// and is given up after the third. Its neighbours ran beside it twice and once alone.
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

/// What was redelivered once runs again at once beside all else, and what of it did not start is
/// not to blame for the next death.
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

/// A worker that ends hands back what it leased: it is sent again at once, as often as workers end,
/// and nothing that was said of the earlier try fits any more.
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

/// A start that was announced counts no longer once its worker hands the item back, or the try
/// fails.
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
                || report.items.iter().any(|item| item.event == headway_domain::reports::ItemEvent::Done))
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
