//! The rules of Headway: ids, the lifecycle of a job, pages and their bitmaps, reports and
//! their fencing, `advance`, progress and policies. Pure: no I/O, no async, no clock of its own.
//!
//! The centre is [`slice::JobSlice`]: the rows of one job that a transaction holds. Every
//! change to a job is a method on it; a store loads a slice, calls the method and [`slice::JobSlice::advance`],
//! and writes back what changed.

pub mod advance;
pub mod bitmap;
pub mod bulk;
pub mod control;
mod counting;
mod cron;
pub mod effect;
pub mod error;
pub mod etag;
pub mod event;
pub mod filter;
pub mod history;
pub mod ids;
pub mod job;
pub mod lifecycle;
pub mod limits;
pub mod page;
pub mod progress;
mod redrive;
mod reopen;
pub mod report;
pub mod retention;
pub mod schedule;
pub mod share;
pub mod slice;
pub mod spec;
pub mod split;
pub mod start;
#[cfg(test)]
mod testing;
pub mod timers;
pub mod timetable;
mod untaken;
pub mod update;

pub use error::{Error, FieldViolation};
pub use ids::{JobId, JobName, JobUid, PartitionId, PipeName};
pub use job::{Job, JobState};
pub use slice::JobSlice;

/// Microseconds since 1970-01-01 UTC, by the database's clock.
pub type Micros = i64;
