//! What workers report, shard by shard: [`shard`] is the loop, and the others are its parts.

mod apply;
mod hearing;
mod intake;
mod looks;
mod shard;

pub(crate) use hearing::Heard;
pub(crate) use looks::Looks;
