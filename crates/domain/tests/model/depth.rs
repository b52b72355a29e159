//! Schedules written by hand: batches within batches.

use headway_domain::{JobState, events::EventKind, limits, reports::code};

use super::{
    source::{Fault, Node, Plan, Tree},
    world::{World, spec},
};

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

/// The events of a job do not grow with its batches: the first have one each, then all of them have
/// one together.
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
