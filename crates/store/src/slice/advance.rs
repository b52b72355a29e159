//! Advancing slices: loading the rows that their rules want to see.

use std::collections::BTreeMap;

use headway_domain::{
    JobSlice,
    batches::{Batch, Page, PageState},
    retries::PageFailures,
};
use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    ground::{codes::Code, numbers::unsigned},
    slice::rows::{
        batch::BatchRow,
        page::{PAGE_COLUMNS, PageRow},
    },
};

/// Rounds of loading and advancing in one transaction; what is left then is left to the next one.
const MAX_ROUNDS: usize = 4;

#[derive(Debug, FromQueryResult)]
struct CarriedFailureRow {
    page: i64,
    idx: i64,
}

impl Db {
    /// Advances a job as far as its rules and a few rounds of loading allow, and stamps the change.
    pub(crate) async fn advance(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
    ) -> Result<(), StoreError> {
        for round in 0.. {
            let seen = slice.loaded();
            self.load_needs(tx, slice).await?;
            let brought = seen != slice.loaded();
            slice.advance();
            let needs = slice.needs();
            // Nobody else looks at a batch that is done, so it is folded in this transaction,
            // however far up that goes.
            let folds = !needs.batches.is_empty() && (brought || round == 0);
            let goes_on = !needs.is_empty() && brought && round + 1 < MAX_ROUNDS;
            if !folds && !goes_on {
                break;
            }
        }
        slice.seal();
        Ok(())
    }

    async fn load_needs(&self, tx: &Tx<'_>, slice: &mut JobSlice) -> Result<(), StoreError> {
        use headway_domain::batches::Todo;
        let needs = slice.needs();
        if needs.reopen > 0 {
            self.load_older_runs(tx, slice, needs.reopen).await?;
        }
        if needs.unpark > 0 {
            self.load_todo(tx, slice, Todo::Unpark, needs.unpark)
                .await?;
        }
        if needs.release > 0 {
            self.load_todo(tx, slice, Todo::Release, needs.release)
                .await?;
        }
        if needs.split > 0 {
            self.load_todo(tx, slice, Todo::Split, needs.split).await?;
        }
        // Pages that a report or timer named may be of an older run too: opening one again forgets
        // its item rows.
        let older = slice.older_pages();
        self.load_items_of(tx, slice, &older).await?;
        self.load_carried(tx, slice, &older).await?;
        let unseen = slice.needs().batches;
        self.load_batches(tx, slice, &unseen).await
    }

    /// Loads which failures of these pages are carried into the present run.
    async fn load_carried(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
        pages: &[u32],
    ) -> Result<(), StoreError> {
        if pages.is_empty() || slice.job().carried == 0 {
            return Ok(());
        }
        let sql = format!(
            "SELECT page, idx FROM failure WHERE job_key = $1 AND run = $2 AND seq <= $3 AND {}",
            self.is_in("page", 4)
        );
        let values = [
            slice.job().meta.key.into(),
            i64::from(slice.job().run).into(),
            i64::try_from(slice.job().carried)
                .unwrap_or(i64::MAX)
                .into(),
            keys::ints(pages.iter().map(|page| i64::from(*page))),
        ];
        let rows: Vec<CarriedFailureRow> = self.all(&**tx, sql, values).await?;
        let mut carried: BTreeMap<u32, PageFailures> = pages
            .iter()
            .map(|page| (*page, PageFailures::default()))
            .collect();
        for row in rows {
            let of_page = carried.entry(unsigned(row.page)?).or_default();
            match u32::try_from(row.idx) {
                Ok(index) => of_page.items.push(index),
                Err(_) => of_page.split = true,
            }
        }
        for (page, carried) in carried {
            slice.add_carried(page, carried);
        }
        Ok(())
    }

    async fn load_todo(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
        todo: headway_domain::batches::Todo,
        most: usize,
    ) -> Result<(), StoreError> {
        // The statement may find pages as they were before this transaction changed them: ask for
        // that many more.
        let limit = most + slice.page_rows().len().min(256);
        let sql = format!(
            "SELECT {PAGE_COLUMNS} FROM page p WHERE p.job_key = $1 AND p.todo = $2 \
             ORDER BY p.depth DESC, p.number LIMIT $3"
        );
        let values = [
            slice.job().meta.key.into(),
            todo.code().into(),
            (limit as i64).into(),
        ];
        let rows: Vec<PageRow> = self.all(&**tx, sql, values).await?;
        for row in rows {
            slice.add_page(Page::try_from(row)?);
        }
        Ok(())
    }

    async fn load_older_runs(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
        most: usize,
    ) -> Result<(), StoreError> {
        let [open, retained, split_failed] =
            [PageState::Open, PageState::Retained, PageState::SplitFailed].map(Code::code);
        let sql = format!(
            "SELECT {PAGE_COLUMNS} FROM page p WHERE p.job_key = $1 AND p.run < $2 AND p.state IN ({open}, {retained}, {split_failed}) \
             ORDER BY p.run, p.number LIMIT $3"
        );
        let values = [
            slice.job().meta.key.into(),
            i64::from(slice.job().run).into(),
            (most as i64).into(),
        ];
        let rows: Vec<PageRow> = self.all(&**tx, sql, values).await?;
        for row in rows {
            slice.add_page(Page::try_from(row)?);
        }
        Ok(())
    }

    /// Loads batches. Those above one that waits for a single batch alone come with it, because
    /// that is the one that is about to fold: so a deep tree costs each transaction the batches
    /// that it changes, and not the way to the root.
    pub(crate) async fn load_batches(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
        numbers: &[u32],
    ) -> Result<(), StoreError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let columns = BatchRow::COLUMNS;
        let sql = format!(
            "WITH RECURSIVE chain AS ( \
               SELECT {columns} FROM batch b WHERE b.job_key = $1 AND {} \
               UNION SELECT {columns} FROM batch b JOIN chain c ON b.job_key = $1 AND b.number = c.parent \
                 AND c.exhausted = 1 AND c.open_pages = 0 AND c.kept_pages = 0 AND c.children = 1 \
             ) SELECT {columns} FROM chain b",
            self.is_in("b.number", 2)
        );
        let list = keys::ints(numbers.iter().map(|number| i64::from(*number)));
        let rows: Vec<BatchRow> = self
            .all(&**tx, sql, [slice.job().meta.key.into(), list])
            .await?;
        for row in rows {
            slice.add_batch(Batch::try_from(row)?);
        }
        Ok(())
    }
}
