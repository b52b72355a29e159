//! Items that fail, and running them again.

pub(crate) mod failures;
pub(crate) mod partial;
mod redriving;
