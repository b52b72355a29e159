//! Jobs that wait for other jobs.

mod cycles;
mod retries;
pub(crate) mod waiting;
