//! Rows of batches.

use headway_domain::batches::Batch;

use crate::{
    db::table::table,
    error::StoreError,
    ground::numbers::{optional, unsigned},
};

/// Bytes of a definition that are read, and kept of a batch that is done.
pub(crate) const DEFINITION_BYTES: i64 = 4096;

table! {
    /// A row of `batch`, without its definition.
    pub(crate) struct BatchRow as "b";
    const BATCH = "batch";
    fn batch_cells(job_key: i64, batch: &Batch) {}
    key_only job_key: i64 = job_key,
    key number: i64 = batch.number,
    parent: i64 = batch.parent.unwrap_or(0),
    depth: i64 = batch.depth,
    declared: i64 = batch.declared,
    exhausted: i64 = batch.exhausted,
    open_pages: i64 = batch.open_pages,
    kept_pages: i64 = batch.retained_pages,
    children: i64 = batch.children,
    done: i64 = batch.done,
    items: i64 = batch.items,
    finished: i64 = batch.finished,
    once definition: Vec<u8> = batch.definition.clone().unwrap_or_default(),
}

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
            retained_pages: unsigned(row.kept_pages)?,
            children: unsigned(row.children)?,
            done: unsigned(row.done)?,
            items: unsigned(row.items)?,
            finished: row.finished != 0,
        })
    }
}
