//! What a transaction knows of each row that it holds.

use crate::values::time::Micros;

/// What a transaction does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    /// The row stays as it was loaded.
    Unchanged,
    /// The row is written over the stored one.
    Update,
    /// The row is new.
    Insert,
    /// The row is deleted.
    Delete,
}

/// A row and what the transaction does to it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedRow<T> {
    /// The row.
    pub row: T,
    /// What the transaction does to it.
    pub change: RowChange,
}

impl<T> TrackedRow<T> {
    pub(super) fn touch(&mut self) -> &mut T {
        if self.change == RowChange::Unchanged {
            self.change = RowChange::Update;
        }
        &mut self.row
    }
}

/// What a transaction knows beside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The database's time.
    pub now: Micros,
    /// The broker's epoch.
    pub epoch: i64,
    /// How long a lease lasts, in microseconds.
    pub lease: Micros,
    /// How many pages of one job may be with batch workers at once.
    pub splits: u64,
    /// Whether the job's pipe has limits. Then the job sends nothing until it gets a share.
    pub limited: bool,
}
