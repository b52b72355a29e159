//! What a job may occupy does not grow with its size.

use super::{
    source::{Plan, Tree},
    world::{World, spec},
};
use crate::model::examples::{report, task};

/// Items go out in windows however many are known, and rows of finished pages go.
#[test]
fn rows_and_items_out_are_bounded() {
    let mut spec = spec();
    spec.max_in_flight = 10;
    let pages = vec![vec![Plan::GOOD; 5]; 300];
    let mut world = World::new(&Tree::flat(pages), spec);
    let mut most = 0;
    while world.job().ended.is_none() {
        world.send_tasks();
        assert!(world.job().counts.out() <= 10);
        most = most.max(world.store.pages.len());
        world.deliver_next(task);
        world.deliver_next(report);
    }
    assert_eq!(world.done.len(), 1500);
    // Enough pages to fill the window twice over its page limit of 64, at five items each.
    assert!(most <= 40, "{most} pages had a row at once");
}
