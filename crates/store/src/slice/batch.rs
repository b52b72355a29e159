//! Rows of batches.

use headway_domain::page::Batch;
use sea_orm::FromQueryResult;

use crate::{
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
    ground::numbers::{optional, unsigned},
};

/// Bytes of a definition that are read, and kept of a batch that is done.
pub(crate) const DEFINITION_BYTES: i64 = 4096;

/// A row of `batch`, without its definition.
#[derive(Debug, FromQueryResult)]
pub(crate) struct BatchRow {
    pub number: i64,
    pub parent: i64,
    pub depth: i64,
    pub declared: i64,
    pub exhausted: i64,
    pub open_pages: i64,
    pub kept_pages: i64,
    pub children: i64,
    pub done: i64,
    pub items: i64,
    pub finished: i64,
}

pub(crate) const BATCH: Table = Table {
    name: "batch",
    keys: 2,
    insert_only: 1,
    columns: &[
        ("job_key", Kind::Int),
        ("number", Kind::Int),
        ("parent", Kind::Int),
        ("depth", Kind::Int),
        ("declared", Kind::Int),
        ("exhausted", Kind::Int),
        ("open_pages", Kind::Int),
        ("kept_pages", Kind::Int),
        ("children", Kind::Int),
        ("done", Kind::Int),
        ("items", Kind::Int),
        ("finished", Kind::Int),
        ("definition", Kind::Bytes),
    ],
};

impl TryFrom<BatchRow> for Batch {
    type Error = StoreError;

    fn try_from(row: BatchRow) -> Result<Self, StoreError> {
        Ok(Self {
            number: unsigned(row.number)?,
            parent: optional(row.parent).map(unsigned).transpose()?,
            depth: unsigned(row.depth)?,
            definition: None,
            declared: row.declared != 0,
            exhausted: row.exhausted != 0,
            open_pages: unsigned(row.open_pages)?,
            kept_pages: unsigned(row.kept_pages)?,
            children: unsigned(row.children)?,
            done: unsigned(row.done)?,
            items: unsigned(row.items)?,
            finished: row.finished != 0,
        })
    }
}

/// The cells of [`BATCH`].
pub(crate) fn batch_cells(job_key: i64, batch: &Batch) -> Vec<Cell> {
    vec![
        job_key.into(),
        batch.number.into(),
        batch.parent.unwrap_or(0).into(),
        batch.depth.into(),
        batch.declared.into(),
        batch.exhausted.into(),
        batch.open_pages.into(),
        batch.kept_pages.into(),
        batch.children.into(),
        batch.done.into(),
        batch.items.into(),
        batch.finished.into(),
        batch.definition.clone().unwrap_or_default().into(),
    ]
}
