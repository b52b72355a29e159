//! Jobs: what a client asks for, the states of a job, its progress and its retention.

pub mod bulk;
pub mod job;
pub mod lifecycle;
pub mod progress;
pub mod retention;
pub mod spec;
