//! Watching all jobs, or the audit log, of a partition.
//!
//! One task (`poller`) asks the database which of all watched partitions changed. Each watched
//! partition has a task (`task`) that reads the changes once for all watchers into its feed
//! (`feed`): a log of jobs (`log`) and a ring of events (`ring`). Watchers (`jobs`, `tail`) read
//! those at their own pace. A watcher that falls too far behind continues from the database.

mod feed;
mod jobs;
mod log;
mod poller;
mod ring;
mod shown;
mod table;
mod tail;
mod task;

pub(crate) use jobs::{JobsPace, JobsUpdate, Since, follow_jobs};
pub(crate) use poller::PartitionPoller;
pub(crate) use table::Partitions;
pub(crate) use tail::{EventsUpdate, follow_events};
