//! What is SQLite's own.

pub(crate) mod answers;
pub(crate) mod codes;
pub(crate) mod commits;
