//! The history of a job's progress.

use crate::values::time::Micros;

/// The progress of a job at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub time: Micros,
    /// Items that ended well.
    pub done: u64,
    /// Items that failed in the run.
    pub failed: u64,
    /// Items in pipes or at workers.
    pub in_flight: u64,
    /// Items found.
    pub known: u64,
    /// The run.
    pub run: u32,
}
