//! Partitions: settings, quotas and suspension.

pub(crate) mod entity;
pub(crate) mod quotas;
pub(crate) mod settings;
pub(crate) mod suspension;
pub(crate) mod view;

use crate::store::Store;

/// All partitions.
#[derive(Debug, Clone, Copy)]
pub struct Partitions<'a> {
    store: &'a Store,
}

impl Store {
    /// All partitions.
    pub fn partitions(&self) -> Partitions<'_> {
        Partitions { store: self }
    }
}
