//! Placeholder.

pub mod splitter;
pub mod template;
