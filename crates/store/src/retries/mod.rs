//! Retries: of a job as a whole, or of some of its failures.

pub(crate) mod filter;
pub(crate) mod redrive;
pub(crate) mod retry;
