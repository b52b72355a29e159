//! Batches: split, timed, repaired and looked at.

pub mod repair;
pub mod split;
pub mod timers;
pub mod tree;
