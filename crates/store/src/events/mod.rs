//! The audit log.

pub(crate) mod expire;
pub(crate) mod horizon;
pub(crate) mod position;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod row;

use crate::store::Store;

/// The audit log.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    store: &'a Store,
}

impl Store {
    /// The audit log.
    pub fn events(&self) -> Events<'_> {
        Events { store: self }
    }
}
