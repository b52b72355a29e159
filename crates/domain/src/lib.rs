//! The rules of Headway, in a folder for each subject. They are pure: no I/O, no async, no clock.
//!
//! The centre is [`slice::JobSlice`]: the rows of one job that a transaction holds. Every change to
//! a job is a method on it; a store loads a slice, calls the method and
//! [`slice::JobSlice::advance`], and writes back what changed.

// Whoever adds a state, an event or an effect is led to each place that has to know it.
// Tests may take the rest together.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod batches;
pub mod error;
pub mod etag;
pub mod events;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a token or a part that does not fit is refused, whichever it is"
)]
pub mod filter;
pub mod job_types;
pub mod jobs;
pub mod partitions;
pub mod pipes;
pub mod prerequisites;
pub mod reports;
pub mod retries;
pub mod schedules;
pub mod slice;
pub mod values;

pub use error::{Error, FieldViolation};
pub use jobs::{Job, JobState};
pub use slice::JobSlice;
pub use values::{
    Micros,
    ids::{JobId, JobName, JobUid, PartitionId, PipeName},
    limits,
};
