//! Batches: their pages and items, how they are split and sent, and what is sent again.

pub(crate) mod due;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod repair;
pub(crate) mod split_plan;
pub(crate) mod split_retry;
pub(crate) mod tree;
pub(crate) mod untaken;
