//! Schedules, and the jobs that they make.

pub(crate) mod edit;
pub(crate) mod entity;
pub(crate) mod fire;
pub(crate) mod jobs;
pub(crate) mod look;
pub(crate) mod read;
pub(crate) mod row;
pub(crate) mod view;

use crate::store::Store;

/// The schedules of all partitions.
#[derive(Debug, Clone, Copy)]
pub struct Schedules<'a> {
    store: &'a Store,
}

impl Store {
    /// The schedules of all partitions.
    pub fn schedules(&self) -> Schedules<'_> {
        Schedules { store: self }
    }
}
