//! Counters of jobs that do not agree with the rows that they sum up: nothing wrong is stored, and they are counted again.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use headway_domain::{JobSlice, Micros};
use tokio::sync::Notify;

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
/// How often a job is tried whose recount fails for a cause that may pass.
const TRIES: u32 = 3;
/// The time between such tries, in microseconds.
const TRY_AGAIN: Micros = 1_000_000;
/// A recount under way is left alone for so long by others, in microseconds.
const UNDER_WAY: Micros = 10_000_000;

/// Jobs that were found to be wrong.
#[derive(Debug, Default)]
pub(crate) struct Miscounts {
    jobs: Mutex<BTreeMap<i64, Miscount>>,
    found: AtomicU64,
    noted: Notify,
}

/// A job that was found to be wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Miscount {
    /// When it was counted again, or given up.
    counted: Option<Micros>,
    /// How often counting it again was tried.
    tries: u32,
    /// When it may be tried next.
    next: Micros,
}

impl Miscounts {
    /// Notes a job that is wrong; whether counting it again may help.
    fn note(&self, key: i64, now: Micros) -> bool {
        self.found.fetch_add(1, Ordering::Relaxed);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, job| job.counted.is_none_or(|at| now - at < AGAIN));
        match jobs.get(&key) {
            Some(job) if job.counted.is_some() => return false,
            Some(_) => {}
            None if jobs.len() >= REMEMBERED => return false,
            None => {
                jobs.insert(key, Miscount::default());
            }
        }
        self.noted.notify_one();
        true
    }

    /// Takes the jobs that are to be counted again now.
    fn take_due(&self, now: Micros) -> Vec<i64> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let due = jobs
            .iter_mut()
            .filter(|(_, job)| job.counted.is_none() && job.next <= now);
        due.map(|(key, job)| {
            job.tries += 1;
            job.next = now + UNDER_WAY;
            *key
        })
        .collect()
    }

    fn counted(&self, key: i64, now: Micros) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.entry(key).or_default().counted = Some(now);
    }

    /// Notes that a job could not be counted again. It is given up if that may not pass, or did not pass for some tries.
    fn failed(&self, key: i64, is_passing: bool, now: Micros) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let job = jobs.entry(key).or_default();
        match is_passing && job.tries < TRIES {
            true => job.next = now + TRY_AGAIN,
            false => job.counted = Some(now),
        }
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

    /// Waits until this process finds a job whose counters are wrong.
    pub async fn miscounted(&self) {
        self.db.miscounts.noted.notified().await;
    }

    /// Counts jobs again whose counters this process found to be wrong. One that cannot be counted is tried some more times if
    /// that may help; then its changes are refused as broken, so that it is set aside and the others go on.
    pub async fn recount_jobs(&self) -> Committed {
        let db = &self.db;
        let mut committed = Committed::default();
        for key in db.miscounts.take_due(db.now()) {
            match self.recount_job(key).await {
                Ok((_, done)) => {
                    committed.merge(done);
                    db.miscounts.counted(key, db.now());
                }
                Err(error) => {
                    tracing::error!(%error, job_key = key, "cannot count a job again");
                    db.miscounts.failed(key, error.is_passing(), db.now());
                }
            }
        }
        committed
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
        let counted = async {
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
            let committed = match wrong {
                true => db.write_slices(&tx, slices).await?,
                false => Committed::default(),
            };
            Ok((wrong, committed))
        };
        // Ended at once in any case: the next report of the job must not find it locked.
        let counted = counted.await;
        tx.end(counted).await
    }
}
