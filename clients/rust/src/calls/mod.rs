//! The calls: one method for each RPC, in the file of its subject.

mod batches;
mod bulk;
mod control;
mod events;
mod failures;
mod job_types;
mod jobs;
mod partitions;
mod pipes;
mod schedules;
mod watches;

pub use job_types::job_type_name;
pub use jobs::create_request;
pub use pipes::pipe_limits_name;
pub use schedules::{SCHEDULE_PATHS, schedule_name};
