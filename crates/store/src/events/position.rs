//! Places in the audit log.

/// A place in the audit log. The log's order is that of the transactions' ids, which on PostgreSQL
/// is not that of their commits: what is read ends before the oldest transaction that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The transaction; 0 on SQLite, which has one writer.
    pub tx: i64,
    /// The number of the event.
    pub seq: i64,
}
