//! Rows of items in an exceptional state.

use headway_domain::batches::{Forward, Item, Lease};
use uuid::Uuid;

use crate::{
    db::table::table,
    error::StoreError,
    ground::numbers::{optional, unsigned},
};

table! {
    /// A row of `item`.
    pub(crate) struct ItemRow as "i";
    const ITEM = "item";
    fn item_cells(job_key: i64, shard: u16, item: &Item) {
        let session = item.lease.map(|lease| lease.session.as_bytes().to_vec());
        let session = session.unwrap_or_default();
        let forwarded = item.forward.is_some();
        let forward = item.forward.clone().unwrap_or_else(|| Forward {
            pipe: String::new(),
            task_type: String::new(),
            payload: Vec::new(),
            content_type: String::new(),
        });
    }
    key job_key: i64 = job_key,
    key page: i64 = item.page,
    key idx: i64 = item.index,
    attempt: i64 = item.attempt,
    stage: i64 = item.stage,
    failures: i64 = item.failures,
    starts: i64 = item.starts,
    started: i64 = item.started,
    alone: i64 = item.alone,
    due: i64 = item.due,
    lease_session: Vec<u8> = session,
    lease_until: i64 = item.lease.map(|lease| lease.until),
    fraction: i64 = item.fraction,
    forwarded: i64 = forwarded,
    pipe: String = forward.pipe,
    task_type: String = forward.task_type,
    payload: Vec<u8> = forward.payload,
    content_type: String = forward.content_type,
    once shard: i64 = shard,
}

impl TryFrom<ItemRow> for Item {
    type Error = StoreError;

    fn try_from(row: ItemRow) -> Result<Self, StoreError> {
        let lease = Uuid::from_slice(&row.lease_session)
            .ok()
            .filter(|_| row.lease_until != 0)
            .map(|session| Lease {
                session,
                until: row.lease_until,
            });
        let forward = (row.forwarded != 0).then_some(Forward {
            pipe: row.pipe,
            task_type: row.task_type,
            payload: row.payload,
            content_type: row.content_type,
        });
        Ok(Self {
            page: unsigned(row.page)?,
            index: unsigned(row.idx)?,
            attempt: unsigned(row.attempt)?,
            stage: unsigned(row.stage)?,
            failures: unsigned(row.failures)?,
            starts: unsigned(row.starts)?,
            started: row.started != 0,
            alone: row.alone != 0,
            due: optional(row.due),
            lease,
            fraction: unsigned(row.fraction)?,
            forward,
        })
    }
}
