//! The audit log: reading it without a gap, and removing what is old.
//!
//! On PostgreSQL transactions commit in another order than they began in, so numbers that rise are
//! not seen in order: a reader that goes on after the highest number it saw would skip what commits
//! late. So events are ordered by their transaction's id, and read only below the oldest
//! transaction that still runs: of those below, no more will come.

use headway_domain::{JobId, JobName, JobUid, PartitionId, events::EventKind};
use sea_orm::{FromQueryResult, Value};

use crate::{
    error::StoreError,
    events::{
        Events,
        horizon::{LogBounds, PlaceRow},
        position::Position,
        row::{EVENT_COLUMNS, EventRow, RawEvent},
    },
    ground::codes::Code,
};

/// Events that are looked at in one call at most, where only some kinds are asked for.
const MAX_EVENTS_SCANNED: i64 = 10_000;

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
    /// The place of the last one if there are more; else one up to which everything is known, so
    /// that the reader of a quiet log does not fall behind what is kept.
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
struct OptionalPlaceRow {
    tx: Option<i64>,
    seq: Option<i64>,
}

impl Events<'_> {
    /// Reads events after a position; the default position is before the earliest that is kept.
    ///
    /// # Errors
    /// [`StoreError::CursorExpired`] where events after the position were removed.
    pub async fn list(
        self,
        query: &EventQuery,
        after: Position,
        limit: u32,
    ) -> Result<EventPage, StoreError> {
        let db = &self.store.db;
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
        let columns = EVENT_COLUMNS;
        let found = match query.kinds.as_slice() {
            [] => {
                format!(
                    "SELECT {columns} FROM event e WHERE {wanted} ORDER BY e.tx, e.seq LIMIT $4"
                )
            }
            kinds => {
                let codes = kinds.iter().map(|kind| kind.code().to_string());
                let codes = codes.collect::<Vec<_>>().join(", ");
                format!(
                    "SELECT {columns} FROM (SELECT {columns} FROM event e WHERE {wanted} ORDER BY e.tx, e.seq LIMIT {MAX_EVENTS_SCANNED}) e \
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
        let bounds = LogBounds::from_query_result(first, "")?;
        let end = db.end(&bounds);
        // One beyond the end is of a database that was restored to an older state since.
        if after != Position::default() && (after < bounds.floor() || after > end) {
            return Err(StoreError::CursorExpired {
                earliest: bounds.floor(),
            });
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let OptionalPlaceRow { tx, seq } = OptionalPlaceRow::from_query_result(row, "")?;
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
        self,
        bound: &str,
        mut values: Vec<Value>,
    ) -> Result<Option<Position>, StoreError> {
        let db = &self.store.db;
        if let Some(offset) = values.get_mut(3) {
            *offset = (MAX_EVENTS_SCANNED - 1).into();
        }
        let sql =
            format!("SELECT tx, seq FROM event WHERE {bound} ORDER BY tx, seq LIMIT 1 OFFSET $4");
        let last: Option<PlaceRow> = db.one(db.reader(), sql, values).await?;
        Ok(last.map(PlaceRow::position))
    }

    /// The position after everything that can be read by now: who begins there sees what is
    /// committed from now on, and perhaps a little of before.
    pub async fn end(self) -> Result<Position, StoreError> {
        let db = &self.store.db;
        let sql = format!(
            "SELECT f.tx AS floor_tx, f.seq AS floor_seq, {} AS horizon FROM event_floor f WHERE f.one = 1",
            db.horizon()
        );
        let bounds: Option<LogBounds> = db.one(db.reader(), sql, []).await?;
        let bounds = bounds.ok_or_else(|| StoreError::Broken("event_floor is empty".to_owned()))?;
        Ok(db.end(&bounds))
    }
}

#[derive(Debug, FromQueryResult)]
struct UidRow {
    uid: Vec<u8>,
}

impl Events<'_> {
    /// The job that has this name, or had it last as far as events are kept.
    pub async fn last_uid(self, name: &JobName) -> Result<Option<JobUid>, StoreError> {
        let db = &self.store.db;
        for sql in [
            "SELECT uid FROM job WHERE partition_id = $1 AND job_id = $2",
            "SELECT uid FROM event WHERE partition_id = $1 AND job_id = $2 AND change = 0 ORDER BY tx DESC, seq DESC LIMIT 1",
        ] {
            let values = [name.partition.as_str().into(), name.job.as_str().into()];
            let found: Option<UidRow> = db.one(db.reader(), sql, values).await?;
            if let Some(found) = found {
                let uid = JobUid::from_slice(&found.uid);
                let uid = uid.ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?;
                return Ok(Some(uid));
            }
        }
        Ok(None)
    }
}
