//! The commands about jobs.

pub mod bulk;
pub mod control;
pub mod create;
pub mod explain;
pub mod failures;
mod job_file;
pub mod list;
pub mod submit;
pub mod submit_all;
pub mod view;
