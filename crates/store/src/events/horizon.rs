//! How far the audit log can be read, and what its transaction ids are.

use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Durability, LOCK},
    error::StoreError,
    events::position::Position,
};

/// What was removed from the log, and what is known of it, at one moment.
#[derive(Debug, FromQueryResult)]
pub(crate) struct LogBounds {
    floor_tx: i64,
    floor_seq: i64,
    horizon: i64,
}

impl LogBounds {
    /// What was before this was removed.
    pub(crate) fn floor(&self) -> Position {
        Position {
            tx: self.floor_tx,
            seq: self.floor_seq,
        }
    }
}

#[derive(Debug, FromQueryResult)]
pub(crate) struct PlaceRow {
    pub(crate) tx: i64,
    pub(crate) seq: i64,
}

impl PlaceRow {
    pub(crate) fn position(self) -> Position {
        Position {
            tx: self.tx,
            seq: self.seq,
        }
    }
}

impl Db {
    /// What is known by now: on PostgreSQL everything below this transaction, on SQLite everything
    /// up to this number.
    pub(crate) fn horizon(&self) -> String {
        match self.is_sqlite() {
            true => "(SELECT COALESCE(MAX(seq), 0) FROM event)".to_owned(),
            false => format!(
                "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + {})",
                self.event_offset
            ),
        }
    }

    /// The position after everything that can be read by now.
    pub(crate) fn end(&self, bounds: &LogBounds) -> Position {
        let end = match self.is_sqlite() {
            true => Position {
                tx: 0,
                seq: bounds.horizon,
            },
            false => Position {
                tx: bounds.horizon - 1,
                seq: i64::MAX,
            },
        };
        end.max(bounds.floor())
    }
}

/// The setting that is added to transaction ids.
const OFFSET: &str = "event_tx_offset";

/// How far transaction ids leap when they restart. Cursors of quiet readers are ahead of the last
/// event by less.
const LEAP: i64 = 1 << 40;

impl Db {
    /// Makes transaction ids rise above those of all stored events, also where those come from
    /// another cluster, whose ids were higher. Processes that start together take turns.
    pub(crate) async fn settle_event_offset(&mut self) -> Result<(), StoreError> {
        if !self.is_sqlite() {
            self.event_offset = self.raise_event_offset().await?;
        }
        Ok(())
    }

    async fn raise_event_offset(&self) -> Result<i64, StoreError> {
        let tx = self.write(Durability::Full).await?;
        self.run(&*tx, "SELECT pg_advisory_xact_lock($1)", [LOCK.into()])
            .await?;
        let sql =
            "SELECT COALESCE((SELECT value FROM setting WHERE name = $1), '0')::bigint AS value";
        let known = self.one_int(&*tx, sql, [OFFSET.into()]).await?.unwrap_or(0);
        // The newest by number are the newest by transaction, but for those that ran at the same
        // time.
        let sql = "SELECT GREATEST((SELECT COALESCE(MAX(tx), 0) FROM (SELECT tx FROM event ORDER BY seq DESC LIMIT 1000) e), \
                   (SELECT tx FROM event_floor WHERE one = 1)) - pg_current_xact_id()::text::bigint AS value";
        let behind = self.one_int(&*tx, sql, []).await?.unwrap_or(0);
        let offset = match behind >= known {
            true => behind + LEAP,
            false => known,
        };
        if offset > known {
            tracing::info!(
                offset,
                "the transaction ids of the database restarted; new events get an offset"
            );
            // A default takes no parameters; this is a number of ours.
            let default = format!(
                "ALTER TABLE event ALTER COLUMN tx SET DEFAULT pg_current_xact_id()::text::bigint + {offset}"
            );
            self.run(&*tx, default, []).await?;
            let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            self.run(&*tx, sql, [OFFSET.into(), offset.to_string().into()])
                .await?;
        }
        tx.commit().await?;
        Ok(offset)
    }
}
