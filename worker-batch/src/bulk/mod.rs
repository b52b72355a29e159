//! Jobs over jobs: their splitter finds the jobs that match a filter, and their worker pauses,
//! resumes, cancels, retries or deletes each of them. Both run within the batch role.

mod deletions;
mod requests;
mod splitter;
mod worker;

pub(crate) use splitter::MatchingJobs;
pub(crate) use worker::worker;
