//! What is SQLite's own.

pub mod codes;
pub mod commits;
