//! What is SQLite's own.

pub mod answers;
pub mod codes;
pub mod commits;
