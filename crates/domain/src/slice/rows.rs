//! What a transaction knows of each row that it holds.

use crate::values::time::Micros;

/// What became of a row in this transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As it was loaded.
    Kept,
    /// To be updated.
    Changed,
    /// To be inserted.
    New,
    /// To be deleted.
    Deleted,
}

/// A row and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked<T> {
    /// The row.
    pub row: T,
    /// What became of it.
    pub fate: Fate,
}

impl<T> Tracked<T> {
    pub(super) fn touch(&mut self) -> &mut T {
        if self.fate == Fate::Kept {
            self.fate = Fate::Changed;
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
    /// Whether the job's pipe has limits: then nothing is sent to it before it was shared out.
    pub rationed: bool,
}
