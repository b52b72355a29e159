//! Rows of pages.

use headway_domain::batches::{Bitmap, Page, PageContent, PageState, Todo};

use crate::{
    db::{
        bulk::Table,
        table::{row, table},
    },
    error::StoreError,
    ground::{
        codes::{Code, codes},
        numbers::{optional, unsigned},
    },
};

table! {
    /// A row of `page`: all but what only a splitting reads.
    pub(crate) struct PageRow as "p";
    const PAGE = "page";
    fn page_cells(job_key: i64, page: &Page) {
        let content = page.content.clone().unwrap_or_default();
    }
    key job_key: i64 = job_key,
    key number: i64 = page.number,
    state: i64 = page.state.code(),
    write todo: i64 = page.todo().code(),
    count: i64 = page.count,
    released: i64 = page.released,
    again: Vec<u8> = page.again.as_bytes(),
    sub: Vec<u8> = page.sub.as_bytes(),
    done: Vec<u8> = page.done.as_bytes(),
    failed: Vec<u8> = page.failed.as_bytes(),
    discarded: Vec<u8> = page.discarded.as_bytes(),
    parked: Vec<u8> = page.parked.as_bytes(),
    run: i64 = page.run,
    attempt: i64 = page.attempt,
    tries: i64 = page.tries,
    due: i64 = page.due,
    declared: i64 = page.declared,
    touched: i64 = page.touched,
    epoch: i64 = page.epoch,
    write items: i64 = page.items(),
    write items_done: i64 = page.done.len(),
    write items_failed: i64 = page.failed.len(),
    write items_discarded: i64 = page.discarded.len(),
    once_read batch: i64 = page.batch,
    once_read depth: i64 = page.depth,
    once split_cursor: Vec<u8> = content.cursor.unwrap_or_default(),
    once split_limit: i64 = content.limit,
    once hash: i64 = content.hash,
    once children: Vec<u8> = content.children.unwrap_or_default(),
}

/// The columns of [`PageRow`], with the table as `p`.
pub(crate) const PAGE_COLUMNS: &str = PageRow::COLUMNS;

/// The table of pages that are new or were just split: their content is written too. [`PAGE`]
/// leaves it as it is.
pub(crate) const PAGE_WITH_CONTENT: Table = Table {
    insert_only: 0,
    ..PAGE
};

row! {
    /// What only a splitting reads of a page.
    pub(crate) struct ContentRow as "p" {
        split_cursor: Vec<u8>,
        split_limit: i64,
        hash: i64,
        children: Vec<u8>,
    }
}

codes!(PageState, "state {code} of a page is unknown", {
    Unsplit = 1,
    Splitting = 2,
    Open = 3,
    Retained = 4,
    SplitFailed = 5,
});

codes!(Todo, "todo {code} of a page is unknown", {
    Nothing = 0,
    Split = 1,
    SplitLater = 2,
    Release = 3,
    Unpark = 4,
    Keep = 5,
});

impl TryFrom<PageRow> for Page {
    type Error = StoreError;

    fn try_from(row: PageRow) -> Result<Self, StoreError> {
        Ok(Self {
            number: unsigned(row.number)?,
            batch: unsigned(row.batch)?,
            depth: unsigned(row.depth)?,
            state: PageState::of(row.state)?,
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
