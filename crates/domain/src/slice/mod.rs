//! The rows of one job that a transaction holds, and every operation on them.

mod advance;
mod control;
mod counting;
pub mod effect;
pub mod history;
mod job_slice;
mod redrive;
mod reopen;
pub mod report;
pub mod split;
pub mod start;
#[cfg(test)]
pub(crate) mod testing;
mod timers;
mod untaken;
pub mod update;

pub use job_slice::{Carried, Fate, JobSlice, Kept, Moment, Needs, Tracked};
