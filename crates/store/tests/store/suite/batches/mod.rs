//! Batches: split, timed, repaired and looked at.

pub(crate) mod repair;
pub(crate) mod split;
pub(crate) mod timers;
pub(crate) mod tree;
