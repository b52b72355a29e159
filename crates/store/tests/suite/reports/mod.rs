//! Reports of workers, and who tracks which shard.

pub mod apply;
pub mod shards;
