//! Following all jobs, or the audit log, of a partition.
//!
//! Each watched partition has one task (`task`) that reads what changed once, however many watch, into a log of jobs (`log`)
//! and a ring of events (`ring`). Watchers (`jobs`, `tail`) read those at their own pace; one that falls so far behind that
//! they have forgotten goes on from the database.

mod jobs;
mod log;
mod ring;
mod shown;
mod table;
mod tail;
mod task;

pub(crate) use jobs::{JobsPace, JobsUpdate, Since, follow_jobs};
pub(crate) use table::Partitions;
pub(crate) use tail::{EventsUpdate, follow_events};
pub(super) use task::PartitionTask;
