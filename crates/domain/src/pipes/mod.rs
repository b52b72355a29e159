//! Pipes: their limits, and what a job may send to them.

pub(crate) mod bucket;
pub(crate) mod fair;
pub(crate) mod limits;
pub(crate) mod share;

pub use bucket::Bucket;
pub use fair::{Claim, Turn, fill};
pub use limits::PipeLimits;
pub use share::Share;
