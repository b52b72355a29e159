//! Pipes: their limits, and what a job may send to them.

pub(crate) mod bucket;
pub(crate) mod limits;
pub(crate) mod share;

pub use bucket::Bucket;
pub use limits::PipeLimits;
pub use share::Share;
