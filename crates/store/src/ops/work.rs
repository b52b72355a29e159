//! Loading slices: the jobs that a transaction locks, and the rows that their rules want to see.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headway_domain::{
    JobSlice, Micros,
    job::JobMeta,
    page::{Batch, Item, Page},
    retries::PageFailures,
    slice::Moment,
};

use sea_orm::FromQueryResult;

use super::epoch::EPOCH_COLUMN;
use crate::{
    Store,
    db::{Db, Tx, keys},
    error::StoreError,
    rows::{
        item::{ITEM, ItemRow},
        job::{PROGRESS, ProgressRow},
        page::{BatchRow, PAGE_COLUMNS, PageRow, todo_code},
        unsigned,
    },
};

/// Rounds of loading and advancing in one transaction; what is left then is left to the next one.
const ROUNDS: usize = 4;

#[derive(Debug, FromQueryResult)]
struct CarriedFailureRow {
    page: i64,
    idx: i64,
}

/// How to treat jobs that another transaction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locking {
    Wait,
    Skip,
}

impl Db {
    /// What a transaction knows beside the rows; `rationed` for jobs whose pipes have limits. `epoch` was read together
    /// with those rows: another process may have begun it just now.
    pub(crate) fn moment(&self, rationed: bool, epoch: i64) -> Moment {
        Moment {
            limited: rationed,
            now: self.now(),
            epoch,
            lease: self.lease,
            splits: self.splits,
        }
    }

    /// Locks jobs in the order of their keys and reads them. Jobs that are gone are left out, as are
    /// locked ones with [`Locking::Skip`].
    pub(crate) async fn lock_jobs(
        &self,
        tx: &Tx<'_>,
        metas: &[Arc<JobMeta>],
        locking: Locking,
    ) -> Result<Vec<JobSlice>, StoreError> {
        let lock = match locking {
            Locking::Wait => self.for_update(),
            Locking::Skip => self.skip_locked(),
        };
        let sql = format!(
            "SELECT {}, {EPOCH_COLUMN} FROM job_progress p WHERE {} ORDER BY p.job_key{lock}",
            PROGRESS.columns_of("p"),
            self.is_in("p.job_key", 1)
        );
        let by_key: HashMap<i64, &Arc<JobMeta>> =
            metas.iter().map(|meta| (meta.key, meta)).collect();
        let mut sorted: Vec<i64> = by_key.keys().copied().collect();
        sorted.sort_unstable();
        let found = self.rows(&**tx, sql, [keys::ints(sorted)]).await?;
        let epoch = self.epoch_of(found.first())?;
        let rows = found
            .iter()
            .map(|row| ProgressRow::from_query_result(row, ""))
            .collect::<Result<Vec<_>, _>>()?;
        let fresh = self.fresh_metas(&**tx, &rows, &by_key).await?;
        let limited = self.limited(&**tx).await?;
        let mut slices = Vec::with_capacity(rows.len());
        for row in rows {
            let meta = fresh.get(&row.job_key);
            let Some(meta) = meta.or_else(|| by_key.get(&row.job_key).copied()) else {
                continue;
            };
            let rationed = limited.rations(&meta.name.partition, meta.spec.pipe());
            let moment = self.moment(rationed, epoch);
            slices.push(JobSlice::new(row.into_job(meta.clone())?, moment));
        }
        Ok(slices)
    }

    /// Locks one job, or tells that it is gone.
    pub(crate) async fn lock_job(
        &self,
        tx: &Tx<'_>,
        meta: &Arc<JobMeta>,
    ) -> Result<Option<JobSlice>, StoreError> {
        let slices = self
            .lock_jobs(tx, std::slice::from_ref(meta), Locking::Wait)
            .await?;
        Ok(slices.into_iter().next())
    }

    /// Loads pages, named by job key and number, into their slices.
    pub(crate) async fn load_pages(
        &self,
        tx: &Tx<'_>,
        slices: &mut [JobSlice],
        pages: &[(i64, u32)],
    ) -> Result<(), StoreError> {
        if pages.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT {PAGE_COLUMNS} FROM {} JOIN page p ON p.job_key = k.a AND p.number = k.b",
            self.pairs("k", 1)
        );
        let list = pages.iter().map(|(job, page)| (*job, i64::from(*page)));
        let rows: Vec<PageRow> = self.all(&**tx, sql, [keys::pairs(list)]).await?;
        for row in rows {
            if let Some(slice) = slices
                .iter_mut()
                .find(|slice| slice.job().meta.key == row.job_key)
            {
                slice.add_page(Page::try_from(row)?);
            }
        }
        Ok(())
    }

    /// Loads all item rows of these pages of a job.
    pub(crate) async fn load_items_of(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
        pages: &[u32],
    ) -> Result<(), StoreError> {
        if pages.is_empty() || slice.job().counts.item_rows == 0 {
            return Ok(());
        }
        let sql = format!(
            "SELECT {} FROM item i WHERE i.job_key = $1 AND {}",
            ITEM.columns_of("i"),
            self.is_in("i.page", 2)
        );
        let list = keys::ints(pages.iter().map(|page| i64::from(*page)));
        let rows: Vec<ItemRow> = self
            .all(&**tx, sql, [slice.job().meta.key.into(), list])
            .await?;
        for row in rows {
            slice.add_item(Item::try_from(row)?);
        }
        Ok(())
    }

    /// Loads the rows, if there are any, of items named by job key, page and index.
    pub(crate) async fn load_items(
        &self,
        tx: &Tx<'_>,
        slices: &mut [JobSlice],
        items: &[(i64, u32, u32)],
    ) -> Result<(), StoreError> {
        if items.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT {} FROM {} JOIN item i ON i.job_key = k.a AND i.page = k.b AND i.idx = k.c",
            ITEM.columns_of("i"),
            self.triples("k", 1)
        );
        let list = items
            .iter()
            .map(|(job, page, index)| (*job, i64::from(*page), i64::from(*index)));
        let rows: Vec<ItemRow> = self.all(&**tx, sql, [keys::triples(list)]).await?;
        for row in rows {
            if let Some(slice) = slices
                .iter_mut()
                .find(|slice| slice.job().meta.key == row.job_key)
            {
                slice.add_item(Item::try_from(row)?);
            }
        }
        Ok(())
    }

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
            // Nobody else looks at a batch that is done, so it is folded in this transaction, however far up that goes.
            let folds = !needs.batches.is_empty() && (brought || round == 0);
            let goes_on = !needs.is_empty() && brought && round + 1 < ROUNDS;
            if !folds && !goes_on {
                break;
            }
        }
        slice.seal();
        Ok(())
    }

    async fn load_needs(&self, tx: &Tx<'_>, slice: &mut JobSlice) -> Result<(), StoreError> {
        use headway_domain::page::Todo;
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
        // Pages that a report or timer named may be of an older run too: opening one again forgets its item rows.
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
        todo: headway_domain::page::Todo,
        most: usize,
    ) -> Result<(), StoreError> {
        // Pages that this transaction changed may still be found under what they were: ask for so many more.
        let limit = most + slice.page_rows().len().min(256);
        let sql = format!(
            "SELECT {PAGE_COLUMNS} FROM page p WHERE p.job_key = $1 AND p.todo = $2 \
             ORDER BY p.depth DESC, p.number LIMIT $3"
        );
        let values = [
            slice.job().meta.key.into(),
            todo_code(todo).into(),
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
        let sql = format!(
            "SELECT {PAGE_COLUMNS} FROM page p WHERE p.job_key = $1 AND p.run < $2 AND p.state IN (3, 4, 5) \
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

    /// Loads batches. Those above one that waits for a single batch alone come with it, because that is the one that
    /// is about to fold: so a deep tree costs each transaction the batches that it changes, and not the way to the root.
    pub(crate) async fn load_batches(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
        numbers: &[u32],
    ) -> Result<(), StoreError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let columns = "b.job_key, b.number, b.parent, b.depth, b.declared, b.exhausted, b.open_pages, b.kept_pages, b.children, b.done, b.items, b.finished";
        let sql = format!(
            "WITH RECURSIVE chain AS ( \
               SELECT {columns} FROM batch b WHERE b.job_key = $1 AND {} \
               UNION SELECT {columns} FROM batch b JOIN chain c ON b.job_key = $1 AND b.number = c.parent \
                 AND c.exhausted = 1 AND c.open_pages = 0 AND c.kept_pages = 0 AND c.children = 1 \
             ) SELECT {} FROM chain",
            self.is_in("b.number", 2),
            columns.replace("b.", "")
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

impl Store {
    /// Microseconds since 1970 by the database's clock.
    pub fn now(&self) -> Micros {
        self.db.now()
    }
}
