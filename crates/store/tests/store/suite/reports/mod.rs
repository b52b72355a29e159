//! Reports of workers, and who tracks which shard.

pub(crate) mod apply;
pub(crate) mod shards;
