//! The audit log: reading it without a gap, and removing what is old.
//!
//! On PostgreSQL transactions commit in another order than they began in, so numbers that rise are not seen in order: a reader that
//! goes on after the highest number it saw would skip what commits late. So events are ordered by their transaction's id,
//! and read only below the oldest transaction that still runs: of those below, no more will come.

use headway_domain::{JobId, JobName, JobUid, Micros, PartitionId, event::EventKind};
use sea_orm::{FromQueryResult, Value};

use crate::{
    Store,
    db::{Db, Durability, LOCK},
    error::StoreError,
    rows::event::{EventRow, Position, RawEvent, event_columns, kind_code},
};

/// Events that one transaction removes at most.
const REMOVED: i64 = 5000;
/// The setting that is added to transaction ids.
const OFFSET: &str = "event_tx_offset";

/// How far transaction ids leap when they begin anew: cursors of quiet readers are ahead of the last event by less.
const LEAP: i64 = 1 << 40;
/// Events that are looked at in one call at most, where only some kinds are asked for.
const LOOKED_AT: i64 = 10_000;

/// Which events to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Of this partition.
    pub partition: PartitionId,
    /// Of this job; `None` for all.
    pub job: Option<(JobId, JobUid)>,
    /// Of these kinds; empty for all.
    pub kinds: Vec<EventKind>,
}

/// Some events and where the next ones begin.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// In the log's order.
    pub events: Vec<EventRow>,
    /// Events among them that this version cannot read.
    pub unreadable: Vec<UnreadableEvent>,
    /// The place of the last one if there are more; else one up to which everything is known, so that the reader of a
    /// quiet log does not fall behind what is kept.
    pub next: Position,
    /// Whether there are more.
    pub more: bool,
}

/// An event that this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableEvent {
    /// Its place.
    pub position: Position,
    /// Why it cannot be read.
    pub reason: String,
}

/// The place of an event; none in the row that has only bounds.
#[derive(Debug, FromQueryResult)]
struct FoundPlace {
    tx: Option<i64>,
    seq: Option<i64>,
}

/// What was removed from the log, and what is known of it, at one moment.
#[derive(Debug, FromQueryResult)]
pub(super) struct Bounds {
    floor_tx: i64,
    floor_seq: i64,
    horizon: i64,
}

impl Bounds {
    /// What was before this was removed.
    pub(super) fn floor(&self) -> Position {
        Position {
            tx: self.floor_tx,
            seq: self.floor_seq,
        }
    }
}

#[derive(Debug, FromQueryResult)]
struct Place {
    tx: i64,
    seq: i64,
}

impl Place {
    fn position(self) -> Position {
        Position {
            tx: self.tx,
            seq: self.seq,
        }
    }
}

#[derive(Debug, FromQueryResult)]
struct Oldest {
    recorded: i64,
}

#[derive(Debug, FromQueryResult)]
struct Uid {
    uid: Vec<u8>,
}

impl Db {
    /// What is known by now: on PostgreSQL everything below this transaction, on SQLite everything up to this number.
    pub(super) fn horizon(&self) -> String {
        match self.is_sqlite() {
            true => "(SELECT COALESCE(MAX(seq), 0) FROM event)".to_owned(),
            false => format!(
                "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + {})",
                self.event_offset
            ),
        }
    }

    /// The position after everything that can be read by now.
    pub(super) fn end(&self, bounds: &Bounds) -> Position {
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

    /// Makes transaction ids rise above those of all stored events, also where those come from another cluster, whose ids were
    /// higher. Processes that start together take turns.
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
        // The newest by number are the newest by transaction, but for those that ran at the same time.
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

impl Store {
    /// Reads events after a position; the default position is before the earliest that is kept.
    ///
    /// # Errors
    /// [`StoreError::CursorExpired`] where events after the position were removed.
    pub async fn events(
        &self,
        query: &EventQuery,
        after: Position,
        limit: u32,
    ) -> Result<EventPage, StoreError> {
        let db = &self.db;
        let mut values: Vec<Value> = vec![
            query.partition.as_str().into(),
            after.tx.into(),
            after.seq.into(),
            (i64::from(limit) + 1).into(),
        ];
        let mut wanted = "partition_id = $1 AND (tx, seq) > ($2, $3)".to_owned();
        if !db.is_sqlite() {
            wanted.push_str(&format!(" AND tx < {}", db.horizon()));
        }
        if let Some((job, uid)) = &query.job {
            values.push(job.as_str().into());
            values.push(uid.0.as_bytes().to_vec().into());
            let n = values.len();
            wanted.push_str(&format!(" AND job_id = ${} AND uid = ${n}", n - 1));
        }
        let columns = event_columns("e");
        let found = match query.kinds.as_slice() {
            [] => {
                format!(
                    "SELECT {columns} FROM event e WHERE {wanted} ORDER BY e.tx, e.seq LIMIT $4"
                )
            }
            kinds => {
                let codes = kinds.iter().map(|kind| kind_code(*kind).to_string());
                let codes = codes.collect::<Vec<_>>().join(", ");
                format!(
                    "SELECT {columns} FROM (SELECT {columns} FROM event e WHERE {wanted} ORDER BY e.tx, e.seq LIMIT {LOOKED_AT}) e \
                     WHERE kind IN ({codes}) ORDER BY tx, seq LIMIT $4"
                )
            }
        };
        // One statement: what is read, how far, and what was removed are of one moment.
        let sql = format!(
            "SELECT f.tx AS floor_tx, f.seq AS floor_seq, {} AS horizon, {columns} FROM event_floor f \
             LEFT JOIN ({found}) e ON f.one = 1 WHERE f.one = 1 ORDER BY e.tx, e.seq",
            db.horizon()
        );
        let (bound, of_all) = (wanted, values.clone());
        let rows = db.rows(db.reader(), sql, values).await?;
        let first = rows
            .first()
            .ok_or_else(|| StoreError::Broken("event_floor is empty".to_owned()))?;
        let bounds = Bounds::from_query_result(first, "")?;
        let end = db.end(&bounds);
        // One beyond the end is of a database that was restored to an older state since.
        if after != Position::default() && (after < bounds.floor() || after > end) {
            return Err(StoreError::CursorExpired {
                earliest: bounds.floor(),
            });
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let FoundPlace { tx, seq } = FoundPlace::from_query_result(row, "")?;
            if let (Some(tx), Some(seq)) = (tx, seq) {
                found.push((Position { tx, seq }, row));
            }
        }
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let last = found.last().filter(|_| more).map(|(position, _)| *position);
        let (mut events, mut unreadable) = (Vec::with_capacity(found.len()), Vec::new());
        for (position, row) in found {
            let event = RawEvent::from_query_result(row, "").map_err(StoreError::from);
            match event.and_then(RawEvent::read) {
                Ok(event) => events.extend(event),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => unreadable.push(UnreadableEvent {
                    position,
                    reason: error.to_string(),
                }),
            }
        }
        if let Some(next) = last {
            return Ok(EventPage {
                events,
                unreadable,
                next,
                more,
            });
        }
        let rest = match query.kinds.is_empty() {
            true => None,
            false => self.last_looked_at(&bound, of_all).await?,
        };
        Ok(EventPage {
            events,
            unreadable,
            next: rest.unwrap_or(end),
            more: rest.is_some(),
        })
    }

    /// Where a look at a bounded number of events ended, if there are more.
    async fn last_looked_at(
        &self,
        bound: &str,
        mut values: Vec<Value>,
    ) -> Result<Option<Position>, StoreError> {
        let db = &self.db;
        if let Some(offset) = values.get_mut(3) {
            *offset = (LOOKED_AT - 1).into();
        }
        let sql =
            format!("SELECT tx, seq FROM event WHERE {bound} ORDER BY tx, seq LIMIT 1 OFFSET $4");
        let last: Option<Place> = db.one(db.reader(), sql, values).await?;
        Ok(last.map(Place::position))
    }

    /// The position after everything that can be read by now: who begins there sees what is committed from now on, and perhaps a
    /// little of before.
    pub async fn events_end(&self) -> Result<Position, StoreError> {
        let db = &self.db;
        let sql = format!(
            "SELECT f.tx AS floor_tx, f.seq AS floor_seq, {} AS horizon FROM event_floor f WHERE f.one = 1",
            db.horizon()
        );
        let bounds: Option<Bounds> = db.one(db.reader(), sql, []).await?;
        let bounds = bounds.ok_or_else(|| StoreError::Broken("event_floor is empty".to_owned()))?;
        Ok(db.end(&bounds))
    }

    /// The job that has this name, or had it last as far as events are kept.
    pub async fn last_uid(&self, name: &JobName) -> Result<Option<JobUid>, StoreError> {
        for sql in [
            "SELECT uid FROM job WHERE partition_id = $1 AND job_id = $2",
            "SELECT uid FROM event WHERE partition_id = $1 AND job_id = $2 AND change = 0 ORDER BY tx DESC, seq DESC LIMIT 1",
        ] {
            let values = [name.partition.as_str().into(), name.job.as_str().into()];
            let found: Option<Uid> = self.db.one(self.db.reader(), sql, values).await?;
            if let Some(found) = found {
                let uid = JobUid::from_slice(&found.uid);
                let uid = uid.ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?;
                return Ok(Some(uid));
            }
        }
        Ok(None)
    }

    /// Removes events that were recorded before this time, the oldest first and a bounded number at once; whether there may be more.
    pub async fn expire_events(&self, before: Micros) -> Result<bool, StoreError> {
        let db = &self.db;
        // Looked at first: mostly there is nothing to do, which should not take the one writer of SQLite.
        let sql = "SELECT recorded FROM event ORDER BY seq LIMIT 1";
        let oldest: Option<Oldest> = db.one(db.reader(), sql, []).await?;
        if oldest.is_none_or(|oldest| oldest.recorded >= before) {
            return Ok(false);
        }
        let tx = db.write(Durability::Process).await?;
        // One at a time, so that the floor only rises; who comes second has nothing to do.
        let sql = format!(
            "SELECT tx, seq FROM event_floor WHERE one = 1{}",
            db.skip_locked()
        );
        let floor: Option<Place> = db.one(&*tx, sql, []).await?;
        let Some(floor) = floor.map(Place::position) else {
            return Ok(false);
        };
        let sql = "DELETE FROM event WHERE seq IN (SELECT seq FROM event ORDER BY seq LIMIT $2) AND recorded < $1 \
                   RETURNING tx, seq";
        let removed: Vec<Place> = db.all(&*tx, sql, [before.into(), REMOVED.into()]).await?;
        let more = removed.len() as i64 == REMOVED;
        let highest = removed.into_iter().map(Place::position).max();
        let highest = highest.unwrap_or_default().max(floor);
        let sql = "UPDATE event_floor SET tx = $1, seq = $2 WHERE one = 1";
        db.run(&*tx, sql, [highest.tx.into(), highest.seq.into()])
            .await?;
        tx.commit().await?;
        Ok(more)
    }
}
