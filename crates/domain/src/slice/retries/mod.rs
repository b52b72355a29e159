//! Retries of a job that has ended or still runs.

mod redrive;
mod reopen;
mod retry;
