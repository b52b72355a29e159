//! Messages owed to the broker: written with the change that caused them, deleted once a broker confirmed them.

use headway_domain::{JobUid, bitmap::Bitmap};
use sea_orm::FromQueryResult;

use super::{unreadable::Source, write::random_id};
use crate::{
    Store,
    db::{
        Durability,
        bulk::{Cell, Conflict, Kind, Table},
        keys,
    },
    error::StoreError,
    rows::unsigned,
};

/// A message owed to batch workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its key in the outbox.
    pub id: i64,
    /// The job.
    pub uid: JobUid,
    /// What is asked for.
    pub kind: OwedKind,
    /// The page.
    pub page: u32,
    /// The run of the job.
    pub run: u32,
    /// The fencing attempt of a split.
    pub attempt: u32,
    /// The items of a dispatch.
    pub indexes: Bitmap,
}

/// What is asked of a batch worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwedKind {
    /// Split the page.
    Split,
    /// Send items of the page.
    Dispatch,
}

pub(crate) const OUTBOX: Table = Table {
    name: "outbox",
    keys: 1,
    insert_only: 0,
    columns: &[
        ("outbox_id", Kind::Int),
        ("uid", Kind::Bytes),
        ("kind", Kind::Int),
        ("page", Kind::Int),
        ("run", Kind::Int),
        ("attempt", Kind::Int),
        ("indexes", Kind::Bytes),
        ("created", Kind::Int),
    ],
};

pub(crate) fn outbox_cells(owed: &Owed, now: i64) -> Vec<Cell> {
    let kind: i64 = match owed.kind {
        OwedKind::Split => 1,
        OwedKind::Dispatch => 2,
    };
    vec![
        owed.id.into(),
        owed.uid.0.as_bytes().to_vec().into(),
        kind.into(),
        owed.page.into(),
        owed.run.into(),
        owed.attempt.into(),
        owed.indexes.as_bytes().into(),
        now.into(),
    ]
}

#[derive(Debug, FromQueryResult)]
struct OutboxRow {
    outbox_id: i64,
    uid: Vec<u8>,
    kind: i64,
    page: i64,
    run: i64,
    attempt: i64,
    indexes: Vec<u8>,
}

impl TryFrom<OutboxRow> for Owed {
    type Error = StoreError;

    fn try_from(row: OutboxRow) -> Result<Self, StoreError> {
        let broken = || StoreError::Broken(format!("outbox row {}", row.outbox_id));
        Ok(Self {
            id: row.outbox_id,
            uid: JobUid::from_slice(&row.uid).ok_or_else(broken)?,
            kind: match row.kind {
                1 => OwedKind::Split,
                2 => OwedKind::Dispatch,
                _ => return Err(broken()),
            },
            page: unsigned(row.page)?,
            run: unsigned(row.run)?,
            attempt: unsigned(row.attempt)?,
            indexes: Bitmap::from_bytes(row.indexes),
        })
    }
}

impl Store {
    /// Forgets messages that a broker confirmed.
    pub async fn outbox_sent(&self, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let db = &self.db;
        let sql = format!("DELETE FROM outbox WHERE {}", db.is_in("outbox_id", 1));
        db.run_alone(sql, [keys::ints(ids.iter().copied())]).await?;
        Ok(())
    }

    /// Puts a request to send items into the outbox, to be published after `wait` at the earliest: their pipe takes no messages
    /// now. Until then nothing is heard of them, so their page counts as touched then.
    pub async fn defer_dispatch(
        &self,
        uid: JobUid,
        page: u32,
        run: u32,
        indexes: Bitmap,
        wait: std::time::Duration,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let owed = Owed {
            id: random_id(),
            uid,
            kind: OwedKind::Dispatch,
            page,
            run,
            attempt: 0,
            indexes,
        };
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        let due = db.now().saturating_add(wait);
        let cells = outbox_cells(&owed, due);
        let tx = db.write(Durability::Process).await?;
        OUTBOX.write(db, &tx, vec![cells], Conflict::Fail).await?;
        let sql = "UPDATE page SET touched = $1 WHERE job_key = (SELECT job_key FROM job WHERE uid = $2) AND number = $3 \
                   AND touched < $1";
        let values = [
            due.into(),
            uid.0.as_bytes().to_vec().into(),
            i64::from(page).into(),
        ];
        db.run(&*tx, sql, values).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes messages that have been owed for at least `age_us`, whose committer died or could not reach the
    /// broker: their age begins again, so that other sweepers leave them alone for as long. One that cannot be read is set aside.
    pub async fn outbox_overdue(&self, age_us: i64, most: u32) -> Result<Vec<Owed>, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let now = db.now();
        let sql = format!(
            "SELECT {} FROM outbox o WHERE o.created <= $1 AND {} ORDER BY o.created LIMIT $2{}",
            OUTBOX.columns_of("o"),
            db.not_set_aside(Source::Outbox, "CAST(o.outbox_id AS TEXT)", 3),
            db.skip_locked()
        );
        let values = [(now - age_us).into(), i64::from(most).into(), now.into()];
        let rows: Vec<OutboxRow> = db.all(&*tx, sql, values).await?;
        if !rows.is_empty() {
            let sql = format!(
                "UPDATE outbox SET created = $2 WHERE {}",
                db.is_in("outbox_id", 1)
            );
            db.run(
                &*tx,
                sql,
                [keys::ints(rows.iter().map(|row| row.outbox_id)), now.into()],
            )
            .await?;
        }
        tx.commit().await?;
        let mut owed = Vec::with_capacity(rows.len());
        for row in rows {
            let key = row.outbox_id.to_string();
            match Owed::try_from(row) {
                Ok(message) => owed.push(message),
                Err(error) => self.set_aside(Source::Outbox, &key, &error).await?,
            }
        }
        Ok(owed)
    }

    /// How many messages are owed.
    pub async fn outbox_len(&self) -> Result<i64, StoreError> {
        let count = self
            .db
            .one_int(self.db.reader(), "SELECT count(*) AS value FROM outbox", [])
            .await?;
        Ok(count.unwrap_or(0))
    }
}
