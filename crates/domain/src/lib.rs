//! The rules of Headway: ids, the lifecycle of a job, pages and their bitmaps, reports and
//! their fencing, `advance`, progress and policies. Pure: no I/O, no async, no clock of its own.
//!
//! The centre is [`slice::JobSlice`]: the rows of one job that a transaction holds. Every
//! change to a job is a method on it; a store loads a slice, calls the method and [`slice::JobSlice::advance`],
//! and writes back what changed.

pub mod batches;
pub mod error;
pub mod events;
pub mod filter;
pub mod jobs;
pub mod pipes;
pub mod schedules;
pub mod slice;
pub mod values;

pub use batches::{bitmap, page};
pub use error::{Error, FieldViolation};
pub use events::event;
pub use jobs::{bulk, job, lifecycle, progress, retention, spec};
pub use pipes::share;
pub use schedules::{schedule, timetable};
pub use slice::{effect, history, report, split, start, update};
pub use values::{ids, limits};

pub use ids::{JobId, JobName, JobUid, PartitionId, PipeName};
pub use job::{Job, JobState};
pub use slice::JobSlice;

/// Microseconds since 1970-01-01 UTC, by the database's clock.
pub type Micros = i64;
