//! Rows of pages.

use headway_domain::{
    bitmap::Bitmap,
    page::{Page, PageContent, PageState, Todo},
};
use sea_orm::FromQueryResult;

use crate::{
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
    ground::numbers::{optional, unsigned},
};

/// The columns of [`PageRow`], with the table as `p`: all but what only a splitting reads.
pub(crate) const PAGE_COLUMNS: &str = "p.job_key, p.number, p.batch, p.depth, p.state, p.count, p.released, p.again, p.sub, p.done, \
     p.failed, p.discarded, p.parked, p.run, p.attempt, p.tries, p.due, p.declared, p.touched, p.epoch";

/// A row of `page`.
#[derive(Debug, FromQueryResult)]
pub(crate) struct PageRow {
    pub job_key: i64,
    pub number: i64,
    pub batch: i64,
    pub depth: i64,
    pub state: i64,
    pub count: i64,
    pub released: i64,
    pub again: Vec<u8>,
    pub sub: Vec<u8>,
    pub done: Vec<u8>,
    pub failed: Vec<u8>,
    pub discarded: Vec<u8>,
    pub parked: Vec<u8>,
    pub run: i64,
    pub attempt: i64,
    pub tries: i64,
    pub due: i64,
    pub declared: i64,
    pub touched: i64,
    pub epoch: i64,
}

/// What only a splitting reads of a page.
#[derive(Debug, FromQueryResult)]
pub(crate) struct ContentRow {
    pub split_cursor: Vec<u8>,
    pub split_limit: i64,
    pub hash: i64,
    pub children: Vec<u8>,
}

const HOT: &[(&str, Kind)] = &[
    ("job_key", Kind::Int),
    ("number", Kind::Int),
    ("state", Kind::Int),
    ("todo", Kind::Int),
    ("count", Kind::Int),
    ("released", Kind::Int),
    ("again", Kind::Bytes),
    ("sub", Kind::Bytes),
    ("done", Kind::Bytes),
    ("failed", Kind::Bytes),
    ("discarded", Kind::Bytes),
    ("parked", Kind::Bytes),
    ("run", Kind::Int),
    ("attempt", Kind::Int),
    ("tries", Kind::Int),
    ("due", Kind::Int),
    ("declared", Kind::Int),
    ("touched", Kind::Int),
    ("epoch", Kind::Int),
    ("items", Kind::Int),
    ("items_done", Kind::Int),
    ("items_failed", Kind::Int),
    ("items_discarded", Kind::Int),
    ("batch", Kind::Int),
    ("depth", Kind::Int),
    ("split_cursor", Kind::Bytes),
    ("split_limit", Kind::Int),
    ("hash", Kind::Int),
    ("children", Kind::Bytes),
];

/// Pages whose content stays as it is.
pub(crate) const PAGE: Table = Table {
    name: "page",
    keys: 2,
    insert_only: 6,
    columns: HOT,
};

/// Pages that are new or were just split.
pub(crate) const PAGE_WITH_CONTENT: Table = Table {
    name: "page",
    keys: 2,
    insert_only: 0,
    columns: HOT,
};

pub(crate) fn state_code(state: PageState) -> i64 {
    match state {
        PageState::Unsplit => 1,
        PageState::Splitting => 2,
        PageState::Open => 3,
        PageState::Retained => 4,
        PageState::SplitFailed => 5,
    }
}

fn state(code: i64) -> Result<PageState, StoreError> {
    Ok(match code {
        1 => PageState::Unsplit,
        2 => PageState::Splitting,
        3 => PageState::Open,
        4 => PageState::Retained,
        5 => PageState::SplitFailed,
        _ => {
            return Err(StoreError::Broken(format!(
                "state {code} of a page is unknown"
            )));
        }
    })
}

pub(crate) fn todo_code(todo: Todo) -> i64 {
    match todo {
        Todo::Nothing => 0,
        Todo::Split => 1,
        Todo::SplitLater => 2,
        Todo::Release => 3,
        Todo::Unpark => 4,
        Todo::Keep => 5,
    }
}

impl TryFrom<PageRow> for Page {
    type Error = StoreError;

    fn try_from(row: PageRow) -> Result<Self, StoreError> {
        Ok(Self {
            number: unsigned(row.number)?,
            batch: unsigned(row.batch)?,
            depth: unsigned(row.depth)?,
            state: state(row.state)?,
            count: unsigned(row.count)?,
            released: unsigned(row.released)?,
            again: Bitmap::from_bytes(row.again),
            sub: Bitmap::from_bytes(row.sub),
            done: Bitmap::from_bytes(row.done),
            failed: Bitmap::from_bytes(row.failed),
            discarded: Bitmap::from_bytes(row.discarded),
            parked: Bitmap::from_bytes(row.parked),
            run: unsigned(row.run)?,
            attempt: unsigned(row.attempt)?,
            tries: unsigned(row.tries)?,
            due: optional(row.due),
            declared: row.declared != 0,
            touched: row.touched,
            epoch: row.epoch,
            content: None,
        })
    }
}

impl TryFrom<ContentRow> for PageContent {
    type Error = StoreError;

    fn try_from(row: ContentRow) -> Result<Self, StoreError> {
        Ok(Self {
            cursor: (!row.split_cursor.is_empty()).then_some(row.split_cursor),
            limit: unsigned(row.split_limit)?,
            hash: row.hash,
            children: (!row.children.is_empty()).then_some(row.children),
        })
    }
}

/// The cells of [`PAGE`] and [`PAGE_WITH_CONTENT`].
pub(crate) fn page_cells(job_key: i64, page: &Page) -> Vec<Cell> {
    let content = page.content.clone().unwrap_or_default();
    vec![
        job_key.into(),
        page.number.into(),
        state_code(page.state).into(),
        todo_code(page.todo()).into(),
        page.count.into(),
        page.released.into(),
        page.again.as_bytes().into(),
        page.sub.as_bytes().into(),
        page.done.as_bytes().into(),
        page.failed.as_bytes().into(),
        page.discarded.as_bytes().into(),
        page.parked.as_bytes().into(),
        page.run.into(),
        page.attempt.into(),
        page.tries.into(),
        page.due.into(),
        page.declared.into(),
        page.touched.into(),
        page.epoch.into(),
        page.items().into(),
        page.done.len().into(),
        page.failed.len().into(),
        page.discarded.len().into(),
        page.batch.into(),
        page.depth.into(),
        content.cursor.unwrap_or_default().into(),
        content.limit.into(),
        content.hash.into(),
        content.children.unwrap_or_default().into(),
    ]
}
