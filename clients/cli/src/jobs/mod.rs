//! The commands about jobs.

pub(crate) mod bulk;
pub(crate) mod control;
pub(crate) mod create;
pub(crate) mod explain;
pub(crate) mod failures;
mod job_file;
pub(crate) mod list;
pub(crate) mod submit;
pub(crate) mod submit_all;
pub(crate) mod view;
