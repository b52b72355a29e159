//! What is printed, and where.

pub(crate) mod console;
pub(crate) mod document;
pub(crate) mod human;
pub(crate) mod table;
