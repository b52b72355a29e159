//! Counters of jobs that do not agree with the rows that they sum up: nothing wrong is stored, and
//! they are counted again.

use std::sync::atomic::Ordering;

use crate::{
    db::Durability,
    error::StoreError,
    ground::committed::Committed,
    slice::{load::Locking, rows::progress::LIVE},
    store::Store,
};

/// Jobs with more pages than this are counted again only once they are found to be wrong: it takes
/// a while, under a lock.
const MAX_PAGES_AUDITED: i64 = 1000;

impl Store {
    /// How often counters were found that do not agree with their rows, by this process.
    pub fn miscounts(&self) -> u64 {
        self.db.miscounts.found.load(Ordering::Relaxed)
    }

    /// Waits until this process finds a job whose counters are wrong.
    pub async fn miscounted(&self) {
        self.db.miscounts.noted.notified().await;
    }

    /// Counts jobs again whose counters this process found to be wrong. One that cannot be counted
    /// is tried some more times if that may help; then its changes are refused as broken, so that
    /// it is set aside and the others go on.
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
                    tracing::error!(%error, job_key = key, "cannot count a job again; its changes are refused meanwhile");
                    db.miscounts.failed(key, error.is_passing(), db.now());
                }
            }
        }
        committed
    }

    /// Looks whether the counters of one job above a key agree with its rows, and counts them again
    /// if not; the key to go on above, 0 after the last one. Of jobs that have not settled; very
    /// large ones are left out.
    pub async fn audit_job(&self, after: i64) -> Result<(Committed, i64), StoreError> {
        let db = &self.db;
        let sql = format!(
            "SELECT job_key AS value FROM job_progress WHERE live = {LIVE} AND job_key > $1 AND {} ORDER BY job_key LIMIT 1",
            db.job_not_set_aside("job_key", 2)
        );
        let keys = self.keys(&sql, [after.into(), db.now().into()]).await?;
        let Some(key) = keys.first().copied() else {
            return Ok((Committed::default(), 0));
        };
        let sql = "SELECT count(*) AS value FROM (SELECT 1 AS one FROM page WHERE job_key = $1 LIMIT $2) AS pages";
        let values = [key.into(), (MAX_PAGES_AUDITED + 1).into()];
        let pages = db.one_int(db.work_reader(), sql, values).await?;
        if pages.unwrap_or(0) > MAX_PAGES_AUDITED {
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
                let before = slice.job().counts.clone();
                wrong = slice.recount();
                if wrong {
                    tracing::error!(
                        job = %slice.job().meta.name,
                        ?before,
                        after = ?slice.job().counts,
                        "corrected the counters of a job that did not agree with its pages"
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
