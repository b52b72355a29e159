//! Removing old events.

use headway_domain::Micros;
use sea_orm::FromQueryResult;

use crate::{
    db::Durability,
    error::StoreError,
    events::{Events, horizon::PlaceRow},
};

/// Events that one transaction removes at most.
const MAX_EVENTS_PER_TX: i64 = 5000;

#[derive(Debug, FromQueryResult)]
struct OldestRow {
    recorded: i64,
}

impl Events<'_> {
    /// Removes events that were recorded before this time, the oldest first and a bounded number at
    /// once; whether there may be more.
    pub async fn expire(self, before: Micros) -> Result<bool, StoreError> {
        let db = &self.store.db;
        // Looked at first: mostly there is nothing to do, which should not take the one writer of
        // SQLite.
        let sql = "SELECT recorded FROM event ORDER BY seq LIMIT 1";
        let oldest: Option<OldestRow> = db.one(db.reader(), sql, []).await?;
        if oldest.is_none_or(|oldest| oldest.recorded >= before) {
            return Ok(false);
        }
        let tx = db.write(Durability::Process).await?;
        // One process at a time, so that the floor only rises. A second one has nothing to do.
        let sql = format!(
            "SELECT tx, seq FROM event_floor WHERE one = 1{}",
            db.skip_locked()
        );
        let floor: Option<PlaceRow> = db.one(&*tx, sql, []).await?;
        let Some(floor) = floor.map(PlaceRow::position) else {
            return Ok(false);
        };
        let sql = "DELETE FROM event WHERE seq IN (SELECT seq FROM event ORDER BY seq LIMIT $2) AND recorded < $1 \
                   RETURNING tx, seq";
        let removed: Vec<PlaceRow> = db
            .all(&*tx, sql, [before.into(), MAX_EVENTS_PER_TX.into()])
            .await?;
        let more = removed.len() as i64 == MAX_EVENTS_PER_TX;
        let highest = removed.into_iter().map(PlaceRow::position).max();
        let highest = highest.unwrap_or_default().max(floor);
        let sql = "UPDATE event_floor SET tx = $1, seq = $2 WHERE one = 1";
        db.run(&*tx, sql, [highest.tx.into(), highest.seq.into()])
            .await?;
        tx.commit().await?;
        Ok(more)
    }
}
