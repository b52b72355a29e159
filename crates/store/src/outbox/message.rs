//! A message for batch workers, and its row in the outbox.

use headway_domain::{JobUid, bitmap::Bitmap};
use sea_orm::FromQueryResult;

use crate::{
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
    ground::numbers::unsigned,
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

pub(crate) fn outbox_cells(message: &OutboxMessage, now: i64) -> Vec<Cell> {
    let kind: i64 = match message.kind {
        OutboxKind::Split => 1,
        OutboxKind::Dispatch => 2,
    };
    vec![
        message.id.into(),
        message.uid.0.as_bytes().to_vec().into(),
        kind.into(),
        message.page.into(),
        message.run.into(),
        message.attempt.into(),
        message.indexes.as_bytes().into(),
        now.into(),
    ]
}

#[derive(Debug, FromQueryResult)]
pub(crate) struct OutboxRow {
    pub(crate) outbox_id: i64,
    uid: Vec<u8>,
    kind: i64,
    page: i64,
    run: i64,
    attempt: i64,
    indexes: Vec<u8>,
}

impl TryFrom<OutboxRow> for OutboxMessage {
    type Error = StoreError;

    fn try_from(row: OutboxRow) -> Result<Self, StoreError> {
        let broken = || StoreError::Broken(format!("outbox row {}", row.outbox_id));
        Ok(Self {
            id: row.outbox_id,
            uid: JobUid::from_slice(&row.uid).ok_or_else(broken)?,
            kind: match row.kind {
                1 => OutboxKind::Split,
                2 => OutboxKind::Dispatch,
                _ => return Err(broken()),
            },
            page: unsigned(row.page)?,
            run: unsigned(row.run)?,
            attempt: unsigned(row.attempt)?,
            indexes: Bitmap::from_bytes(row.indexes),
        })
    }
}
