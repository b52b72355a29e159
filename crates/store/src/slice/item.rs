//! Rows of items in an exceptional state, and of failures.

use headway_domain::{
    effect::{NewFailure, Subject, clean},
    limits,
    page::{Forward, Item, Lease},
};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
    ground::numbers::{optional, unsigned},
};

/// A row of `item`.
#[derive(Debug, FromQueryResult)]
pub(crate) struct ItemRow {
    pub job_key: i64,
    pub page: i64,
    pub idx: i64,
    pub attempt: i64,
    pub stage: i64,
    pub failures: i64,
    pub starts: i64,
    pub started: i64,
    pub alone: i64,
    pub due: i64,
    pub lease_session: Vec<u8>,
    pub lease_until: i64,
    pub fraction: i64,
    pub forwarded: i64,
    pub pipe: String,
    pub task_type: String,
    pub payload: Vec<u8>,
    pub content_type: String,
}

pub(crate) const ITEM: Table = Table {
    name: "item",
    keys: 3,
    insert_only: 1,
    columns: &[
        ("job_key", Kind::Int),
        ("page", Kind::Int),
        ("idx", Kind::Int),
        ("attempt", Kind::Int),
        ("stage", Kind::Int),
        ("failures", Kind::Int),
        ("starts", Kind::Int),
        ("started", Kind::Int),
        ("alone", Kind::Int),
        ("due", Kind::Int),
        ("lease_session", Kind::Bytes),
        ("lease_until", Kind::Int),
        ("fraction", Kind::Int),
        ("forwarded", Kind::Int),
        ("pipe", Kind::Text),
        ("task_type", Kind::Text),
        ("payload", Kind::Bytes),
        ("content_type", Kind::Text),
        ("shard", Kind::Int),
    ],
};

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

/// The cells of [`ITEM`].
pub(crate) fn item_cells(job_key: i64, shard: u16, item: &Item) -> Vec<Cell> {
    let forward = item.forward.clone();
    let forwarded = forward.is_some();
    let forward = forward.unwrap_or_else(|| Forward {
        pipe: String::new(),
        task_type: String::new(),
        payload: Vec::new(),
        content_type: String::new(),
    });
    vec![
        job_key.into(),
        item.page.into(),
        item.index.into(),
        item.attempt.into(),
        item.stage.into(),
        item.failures.into(),
        item.starts.into(),
        item.started.into(),
        item.alone.into(),
        item.due.into(),
        item.lease
            .map(|lease| lease.session.as_bytes().to_vec())
            .unwrap_or_default()
            .into(),
        item.lease.map(|lease| lease.until).into(),
        item.fraction.into(),
        forwarded.into(),
        forward.pipe.into(),
        forward.task_type.into(),
        forward.payload.into(),
        forward.content_type.into(),
        shard.into(),
    ]
}

pub(crate) const FAILURE: Table = Table {
    name: "failure",
    keys: 3,
    insert_only: 0,
    columns: &[
        ("job_key", Kind::Int),
        ("run", Kind::Int),
        ("seq", Kind::Int),
        ("page", Kind::Int),
        ("idx", Kind::Int),
        ("code", Kind::Text),
        ("message", Kind::Text),
        ("details", Kind::Text),
        ("attempt", Kind::Int),
        ("recorded", Kind::Int),
        ("worker", Kind::Text),
    ],
};

/// In place of an item's index: the page could not be split.
const WHOLE_PAGE: i64 = -1;

/// In place of an item's index: the job as a whole failed.
pub(crate) const WHOLE_JOB: i64 = -2;

/// The cells of [`FAILURE`]; beyond a job's cap the texts are left out.
pub(crate) fn failure_cells(job_key: i64, seq: i64, now: i64, failure: &NewFailure) -> Vec<Cell> {
    let keep = seq <= limits::FAILURE_TEXTS;
    let text = |text: &str| {
        if keep {
            Cell::from(text)
        } else {
            Cell::from("")
        }
    };
    let (page, index) = match failure.subject {
        Subject::Job => (0, WHOLE_JOB),
        Subject::Page(page) => (page, WHOLE_PAGE),
        Subject::Item(page, index) => (page, i64::from(index)),
    };
    vec![
        job_key.into(),
        failure.run.into(),
        seq.into(),
        page.into(),
        index.into(),
        failure.failure.code.as_str().into(),
        text(&failure.failure.message),
        text(&failure.failure.details),
        failure.attempt.into(),
        now.into(),
        text(&clean(&failure.worker, limits::SHORT_TEXT_BYTES)),
    ]
}
