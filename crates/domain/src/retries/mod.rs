//! Retries: how items are tried again, and what a retry of a job carries over.

pub(crate) mod carried;
pub(crate) mod policy;

pub use carried::{CarriedCounts, PageFailures};
pub use policy::RetryPolicy;
