//! JobService: the only place in the server where wire types meet domain types.

mod api;
mod bulk;
mod convert_explore;
mod convert_in;
mod convert_out;
mod cursor;
mod dead;
#[cfg(test)]
mod errors_doc;
mod explaining;
mod exploring;
mod job_types;
mod jobs;
mod jobs_token;
mod json;
mod limits;
mod page_token;
mod partitions;
mod request;
mod request_explore;
mod resume_token;
mod retention;
mod schedules;
mod service;
pub(crate) mod status;
mod updating;
mod violations;
mod waiting;
mod watched_jobs;
mod watching;

pub(crate) use api::JobApi;
pub(crate) use watched_jobs::WatchedJobs;
