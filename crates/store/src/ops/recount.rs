//! Counters of jobs that do not agree with the rows that they sum up: nothing wrong is stored, and they are counted again.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use headway_domain::{JobSlice, Micros};

use super::work::Locking;
use crate::{
    Committed, Store,
    db::{Db, Durability, Tx},
    error::StoreError,
    rows::{
        item::{ITEM, ItemRow},
        page::{BatchRow, PAGE_COLUMNS, PageRow},
    },
};

/// Jobs with more pages than this are counted again only once they are found to be wrong: it takes a while, under a lock.
const AUDITED_PAGES: i64 = 1000;
/// A job that is found wrong again so soon after it was counted is given up, in microseconds.
const AGAIN: Micros = 600_000_000;
/// Wrong jobs that are remembered at most.
const REMEMBERED: usize = 1000;

/// Jobs that were found to be wrong, and when each was counted again.
#[derive(Debug, Default)]
pub(crate) struct Miscounts {
    jobs: Mutex<BTreeMap<i64, Option<Micros>>>,
    found: AtomicU64,
}

impl Miscounts {
    /// Notes a job that is wrong; whether counting it again may help.
    fn note(&self, key: i64, now: Micros) -> bool {
        self.found.fetch_add(1, Ordering::Relaxed);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, counted| counted.is_none_or(|at| now - at < AGAIN));
        if jobs.get(&key).is_some_and(Option::is_some) || jobs.len() >= REMEMBERED {
            return false;
        }
        jobs.insert(key, None);
        true
    }

    fn waiting(&self) -> Vec<i64> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = jobs.iter().filter(|(_, counted)| counted.is_none());
        waiting.map(|(key, _)| *key).collect()
    }

    fn counted(&self, key: i64, now: Micros) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.insert(key, Some(now));
    }
}

impl Db {
    /// Refuses to store a job whose counters are wrong. The call may be repeated once the job was counted again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] until then, and [`StoreError::Broken`] if it is wrong again after that.
    pub(crate) fn refuse_miscounted(&self, slices: &[JobSlice]) -> Result<(), StoreError> {
        let wrong = slices
            .iter()
            .filter(|slice| slice.changed)
            .find(|slice| !slice.counts_agree());
        let Some(wrong) = wrong else { return Ok(()) };
        let name = &wrong.job.meta.name;
        let why = format!("the counters of job {name} do not agree with its pages");
        match self.miscounts.note(wrong.job.meta.key, self.now()) {
            true => {
                tracing::error!(job = %name, counts = ?wrong.job.counts, "the counters of a job do not agree with its pages; counting again");
                Err(StoreError::Unavailable(why))
            }
            false => Err(StoreError::Broken(why)),
        }
    }

    async fn load_all(&self, tx: &Tx<'_>, slice: &mut JobSlice) -> Result<(), StoreError> {
        let key = slice.job.meta.key;
        let sql = format!("SELECT {PAGE_COLUMNS} FROM page p WHERE p.job_key = $1");
        let pages: Vec<PageRow> = self.all(&**tx, sql, [key.into()]).await?;
        for row in pages {
            slice.add_page(row.try_into()?);
        }
        let sql = "SELECT job_key, number, parent, depth, declared, exhausted, open_pages, kept_pages, children, done, items, finished \
                   FROM batch WHERE job_key = $1";
        let batches: Vec<BatchRow> = self.all(&**tx, sql, [key.into()]).await?;
        for row in batches {
            slice.add_batch(row.try_into()?);
        }
        let sql = format!(
            "SELECT {} FROM item i WHERE i.job_key = $1",
            ITEM.columns_of("i")
        );
        let items: Vec<ItemRow> = self.all(&**tx, sql, [key.into()]).await?;
        for row in items {
            slice.add_item(row.try_into()?);
        }
        Ok(())
    }
}

impl Store {
    /// How often counters were found that do not agree with their rows, by this process.
    pub fn miscounts(&self) -> u64 {
        self.db.miscounts.found.load(Ordering::Relaxed)
    }

    /// Counts jobs again whose counters were found to be wrong.
    pub async fn recount_jobs(&self) -> Result<Committed, StoreError> {
        let mut committed = Committed::default();
        for key in self.db.miscounts.waiting() {
            let (_, done) = self.recount_job(key).await?;
            committed.merge(done);
            self.db.miscounts.counted(key, self.db.now());
        }
        Ok(committed)
    }

    /// Looks whether the counters of one job above a key agree with its rows, and counts them again if not; the key to go on above, 0
    /// after the last one. Of jobs that have not settled; very large ones are left out.
    pub async fn audit_job(&self, after: i64) -> Result<(Committed, i64), StoreError> {
        let db = &self.db;
        let sql = format!(
            "SELECT job_key AS value FROM job_progress WHERE live = 1 AND job_key > $1 AND {} ORDER BY job_key LIMIT 1",
            db.job_not_set_aside("job_key", 2)
        );
        let keys = self.keys(&sql, [after.into(), db.now().into()]).await?;
        let Some(key) = keys.first().copied() else {
            return Ok((Committed::default(), 0));
        };
        let sql = "SELECT count(*) AS value FROM (SELECT 1 AS one FROM page WHERE job_key = $1 LIMIT $2) AS pages";
        let values = [key.into(), (AUDITED_PAGES + 1).into()];
        let pages = db.one_int(db.work_reader(), sql, values).await?;
        if pages.unwrap_or(0) > AUDITED_PAGES {
            return Ok((Committed::default(), key));
        }
        let only = [key];
        let audited = self.set_aside_unreadable(&only, |_| {
            let store = self.clone();
            async move {
                let (wrong, committed) = store.recount_job(key).await?;
                if wrong {
                    store.db.miscounts.found.fetch_add(1, Ordering::Relaxed);
                }
                Ok(committed)
            }
        });
        Ok((audited.await?, key))
    }

    /// Counts a job again; whether it was wrong.
    async fn recount_job(&self, key: i64) -> Result<(bool, Committed), StoreError> {
        let Some(meta) = self.meta_by_key(key).await? else {
            return Ok((false, Committed::default()));
        };
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let mut slices = db.lock_jobs(&tx, &[meta], Locking::Wait).await?;
        let mut wrong = false;
        for slice in &mut slices {
            db.load_all(&tx, slice).await?;
            let before = slice.job.counts.clone();
            wrong = slice.recount();
            if wrong {
                tracing::error!(
                    job = %slice.job.meta.name,
                    ?before,
                    after = ?slice.job.counts,
                    "the counters of a job did not agree with its pages; they were counted again"
                );
                db.advance(&tx, slice).await?;
            }
        }
        if !wrong {
            return Ok((false, Committed::default()));
        }
        let committed = db.write_slices(&tx, slices).await?;
        tx.commit().await?;
        Ok((true, committed))
    }
}
