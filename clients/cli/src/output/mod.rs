//! What is printed, and where.

pub mod console;
pub mod document;
pub mod human;
pub mod table;
