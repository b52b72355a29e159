//! Listing and counting jobs.

pub(crate) mod conditions;
pub(crate) mod filter;
pub(crate) mod find;
pub(crate) mod order;
