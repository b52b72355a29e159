//! Batches, their pages, and the items in them.

pub mod bitmap;
pub mod page;
