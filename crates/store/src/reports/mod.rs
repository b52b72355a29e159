//! Reports of workers, and which process tracks which shard.

pub(crate) mod apply;
pub(crate) mod shards;
