//! What is SQLite's own.

pub mod commits;
