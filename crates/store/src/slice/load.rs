//! Loading slices: the jobs that a transaction locks, and the rows that it names.

use std::{collections::HashMap, sync::Arc};

use headway_domain::{
    JobSlice,
    batches::{Item, Page, PageContent},
    jobs::JobMeta,
    slice::Moment,
};
use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::{
    db::{Db, Tx, keys},
    deployment::epoch::EPOCH_COLUMN,
    error::StoreError,
    slice::rows::{
        batch::BatchRow,
        item::ItemRow,
        page::{ContentRow, PAGE_COLUMNS, PageRow},
        progress::ProgressRow,
    },
};

/// How to treat jobs that another transaction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locking {
    Wait,
    Skip,
}

impl Db {
    /// What a transaction knows beside the rows; `rationed` for jobs whose pipes have limits.
    /// `epoch` was read together with those rows: another process may have begun it just now.
    pub(crate) fn moment(&self, rationed: bool, epoch: i64) -> Moment {
        Moment {
            limited: rationed,
            now: self.now(),
            epoch,
            lease: self.lease,
            splits: self.splits,
        }
    }

    /// Locks jobs in the order of their keys and reads them. Jobs that are gone are left out, as
    /// are locked ones with [`Locking::Skip`].
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
            ProgressRow::COLUMNS,
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
            ItemRow::COLUMNS,
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
            ItemRow::COLUMNS,
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

    pub(crate) async fn load_all(
        &self,
        tx: &Tx<'_>,
        slice: &mut JobSlice,
    ) -> Result<(), StoreError> {
        let key = slice.job().meta.key;
        let sql = format!("SELECT {PAGE_COLUMNS} FROM page p WHERE p.job_key = $1");
        let pages: Vec<PageRow> = self.all(&**tx, sql, [key.into()]).await?;
        for row in pages {
            slice.add_page(row.try_into()?);
        }
        let sql = format!(
            "SELECT {} FROM batch b WHERE b.job_key = $1",
            BatchRow::COLUMNS
        );
        let batches: Vec<BatchRow> = self.all(&**tx, sql, [key.into()]).await?;
        for row in batches {
            slice.add_batch(row.try_into()?);
        }
        let sql = format!(
            "SELECT {} FROM item i WHERE i.job_key = $1",
            ItemRow::COLUMNS
        );
        let items: Vec<ItemRow> = self.all(&**tx, sql, [key.into()]).await?;
        for row in items {
            slice.add_item(row.try_into()?);
        }
        Ok(())
    }

    /// A page with its content.
    pub(crate) async fn page(
        &self,
        on: &impl ConnectionTrait,
        meta: &JobMeta,
        number: u32,
    ) -> Result<Option<(Page, PageContent)>, StoreError> {
        let sql = format!(
            "SELECT {PAGE_COLUMNS}, {} FROM page p WHERE p.job_key = $1 AND p.number = $2",
            ContentRow::COLUMNS
        );
        let Some(row) = self
            .row(on, sql, [meta.key.into(), i64::from(number).into()])
            .await?
        else {
            return Ok(None);
        };
        let page = Page::try_from(PageRow::from_query_result(&row, "")?)?;
        let content = PageContent::try_from(ContentRow::from_query_result(&row, "")?)?;
        Ok(Some((page, content)))
    }
}
