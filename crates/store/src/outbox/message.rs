//! A message for batch workers, and its row in the outbox.

use headway_domain::{JobUid, batches::Bitmap};

use crate::{
    db::table::table,
    error::StoreError,
    ground::{
        codes::{Code, codes},
        numbers::unsigned,
    },
};

/// A message for batch workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Its key in the outbox.
    pub id: i64,
    /// The job.
    pub uid: JobUid,
    /// What is asked for.
    pub kind: OutboxKind,
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
pub enum OutboxKind {
    /// Split the page.
    Split,
    /// Send items of the page.
    Dispatch,
}

codes!(OutboxKind, "kind {code} of a message is unknown", {
    Split = 1,
    Dispatch = 2,
});

table! {
    /// A row of `outbox`.
    pub(crate) struct OutboxRow as "o";
    const OUTBOX = "outbox";
    fn outbox_cells(message: &OutboxMessage, now: i64) {}
    key outbox_id: i64 = message.id,
    uid: Vec<u8> = message.uid.0.as_bytes().to_vec(),
    kind: i64 = message.kind.code(),
    page: i64 = message.page,
    run: i64 = message.run,
    attempt: i64 = message.attempt,
    indexes: Vec<u8> = message.indexes.as_bytes(),
    write created: i64 = now,
}

impl TryFrom<OutboxRow> for OutboxMessage {
    type Error = StoreError;

    fn try_from(row: OutboxRow) -> Result<Self, StoreError> {
        let broken = || StoreError::Broken(format!("outbox row {}", row.outbox_id));
        Ok(Self {
            id: row.outbox_id,
            uid: JobUid::from_slice(&row.uid).ok_or_else(broken)?,
            kind: OutboxKind::of(row.kind).map_err(|_| broken())?,
            page: unsigned(row.page)?,
            run: unsigned(row.run)?,
            attempt: unsigned(row.attempt)?,
            indexes: Bitmap::from_bytes(row.indexes),
        })
    }
}
