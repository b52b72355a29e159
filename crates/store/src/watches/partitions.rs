//! Which of many watched partitions have changes, in one statement.

use headway_domain::{Micros, PartitionId};
use sea_orm::{FromQueryResult, TryGetable};

use crate::{
    db::keys,
    error::StoreError,
    events::{horizon::LogBounds, position::Position},
    slice::rows::progress::LIVE,
    store::Store,
};

/// The watched partitions with changes, and up to where the audit log was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPartitions {
    /// Partitions with changes, in no order.
    pub partitions: Vec<PartitionId>,
    /// Where the next look begins: all events of partitions that are not listed are before it.
    pub end: Position,
}

impl Store {
    /// Those of the partitions that have an event after this position, or an unsettled job that
    /// changed since this time.
    ///
    /// One statement, however many partitions: each costs at most two look-ups in an index, whether
    /// it exists or not.
    ///
    /// # Errors
    /// [`StoreError::CursorExpired`] where events after the position were removed, or the database
    /// was restored.
    pub async fn changed_partitions(
        &self,
        watched: &[PartitionId],
        after: Position,
        since: Micros,
    ) -> Result<ChangedPartitions, StoreError> {
        let db = &self.db;
        let horizon = db.horizon();
        let known = match db.is_sqlite() {
            true => String::new(),
            false => format!(" AND e.tx < {horizon}"),
        };
        // The orders are those of indexes, so that PostgreSQL never prefers to read a whole table
        // to its first match. With `=` in the second one it would read the jobs by their key, of
        // all partitions.
        let event = format!(
            "SELECT 1 FROM event e WHERE e.partition_id = w.value AND (e.tx, e.seq) > ($2, $3){known} ORDER BY e.tx, e.seq LIMIT 1"
        );
        let job = format!(
            "SELECT 1 FROM job_progress p WHERE p.partition_id >= w.value AND p.partition_id <= w.value AND p.live = {LIVE} \
                   AND p.updated >= $4 ORDER BY p.partition_id, p.job_key LIMIT 1"
        );
        // One statement: what changed, how far, and what was removed are of one moment.
        let sql = format!(
            "SELECT f.tx AS floor_tx, f.seq AS floor_seq, {horizon} AS horizon, c.value AS partition_id FROM event_floor f \
             LEFT JOIN (SELECT w.value FROM ({}) w WHERE ({event}) IS NOT NULL OR ({job}) IS NOT NULL) c ON f.one = 1 WHERE f.one = 1",
            db.texts(1)
        );
        let names: Vec<String> = watched.iter().map(ToString::to_string).collect();
        let values = [
            keys::texts(&names),
            after.tx.into(),
            after.seq.into(),
            since.into(),
        ];
        let rows = db.rows(db.reader(), sql, values).await?;
        let first = rows
            .first()
            .ok_or_else(|| StoreError::Broken("event_floor is empty".to_owned()))?;
        let bounds = LogBounds::from_query_result(first, "")?;
        let end = db.end(&bounds);
        if after < bounds.floor() || after > end {
            return Err(StoreError::CursorExpired {
                earliest: bounds.floor(),
            });
        }
        let mut partitions = Vec::new();
        for row in &rows {
            let name =
                Option::<String>::try_get(row, "", "partition_id").map_err(sea_orm::DbErr::from)?;
            let name = name.map(PartitionId::new).transpose();
            partitions
                .extend(name.map_err(|_| StoreError::Broken("a partition's name".to_owned()))?);
        }
        Ok(ChangedPartitions { partitions, end })
    }
}
