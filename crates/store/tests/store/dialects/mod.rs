//! What each dialect has for itself, and how a case gets its tables.

pub(crate) mod postgres;
pub(crate) mod sqlite;
