//! Prerequisites: jobs that wait for others.

pub(crate) mod cause;
pub(crate) mod checks;
pub(crate) mod cycle_search;
pub(crate) mod cycles;
pub(crate) mod dependents;
pub(crate) mod insert;
pub(crate) mod release;
pub(crate) mod round;
pub(crate) mod tasks;
pub(crate) mod tombstones;
pub(crate) mod view;
pub(crate) mod wait;
