//! The calls of the server that answers from a script.

mod events;
mod job_types;
mod jobs;
mod partitions;
mod pipes;
mod schedules;
