//! The audit log.

pub(crate) mod expire;
pub(crate) mod horizon;
pub(crate) mod position;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod row;
