//! Pipes: which there are, their limits, credit, rates and dead letters.

pub(crate) mod admit;
pub(crate) mod cached;
pub(crate) mod credit;
pub(crate) mod dead_letters;
pub(crate) mod hungry;
pub(crate) mod limit_entity;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod rates;
pub(crate) mod uses;

use crate::store::Store;

/// All pipes.
#[derive(Debug, Clone, Copy)]
pub struct Pipes<'a> {
    store: &'a Store,
}

impl Store {
    /// All pipes.
    pub fn pipes(&self) -> Pipes<'_> {
        Pipes { store: self }
    }
}
