//! Partitions: their quotas and their shares.

pub(crate) mod quota;
pub(crate) mod share;

pub use quota::Quota;
pub use share::PartitionShare;
