//! What time brings jobs: those that start or end because their time has come, and those that stand
//! still.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use headway_domain::Micros;

use crate::{
    db::Durability,
    error::StoreError,
    ground::committed::Committed,
    slice::{load::Locking, rows::progress::LIVE},
    store::Store,
};

/// Jobs started, or ended, by one transaction.
const MAX_JOBS_PER_TX: i64 = 200;

impl Store {
    /// When the next job starts, or must have ended; it may be in the past.
    pub async fn next_job_due(&self) -> Result<Option<Micros>, StoreError> {
        let readable = self.db.job_not_set_aside("job_key", 1);
        let sql = format!(
            "SELECT min(value) AS value FROM ( \
               SELECT min(start_due) AS value FROM job_progress WHERE start_due > 0 AND {readable} \
               UNION ALL SELECT min(deadline) FROM job_progress WHERE deadline > 0 AND {readable} \
             ) AS next"
        );
        let row = self
            .db
            .row(self.db.work_reader(), sql, [self.db.now().into()])
            .await?;
        Ok(row
            .map(|row| row.try_get::<Option<i64>>("", "value"))
            .transpose()?
            .flatten())
    }

    /// Starts jobs whose time has come, and ends those whose deadline has passed; whether there may
    /// be more.
    pub async fn fire_jobs(&self) -> Result<(Committed, bool), StoreError> {
        let readable = self.db.job_not_set_aside("job_key", 1);
        let sql = format!(
            "SELECT value FROM (SELECT job_key AS value FROM job_progress WHERE start_due > 0 AND start_due <= $1 AND {readable} \
               ORDER BY start_due LIMIT $2) AS starting \
             UNION SELECT value FROM (SELECT job_key AS value FROM job_progress WHERE deadline > 0 AND deadline <= $1 AND {readable} \
               ORDER BY deadline LIMIT $2) AS late"
        );
        let keys = self
            .keys(&sql, [self.db.now().into(), MAX_JOBS_PER_TX.into()])
            .await?;
        if keys.is_empty() {
            return Ok((Committed::default(), false));
        }
        let fired = Arc::new(AtomicUsize::new(0));
        let committed = self.set_aside_unreadable(&keys, |keys| {
            let (store, fired) = (self.clone(), fired.clone());
            async move {
                let (committed, count) = store.fire_jobs_of(&keys).await?;
                fired.fetch_add(count, Ordering::Relaxed);
                Ok(committed)
            }
        });
        let committed = committed.await?;
        Ok((
            committed,
            fired.load(Ordering::Relaxed) as i64 >= MAX_JOBS_PER_TX,
        ))
    }

    async fn fire_jobs_of(&self, keys: &[i64]) -> Result<(Committed, usize), StoreError> {
        let db = &self.db;
        let metas = self.metas_by_key(keys).await?;
        let tx = db.write(Durability::Process).await?;
        let worked = async {
            // Those that another transaction holds have their turn in the next round.
            let mut slices = db.lock_jobs(&tx, &metas, Locking::Skip).await?;
            let fired = slices.len();
            for slice in &mut slices {
                slice.fire_start();
                slice.fire_deadline();
                if slice.has_changed() {
                    db.advance(&tx, slice).await?;
                }
            }
            Ok((db.write_slices(&tx, slices).await?, fired))
        };
        let worked = worked.await;
        tx.end(worked).await
    }

    /// Advances jobs that have not ended, or not settled, and did not change for `idle`: what a
    /// crash between two commits may leave. Jobs above `after` by key; the last key looked at, if
    /// there may be more.
    pub async fn advance_idle(
        &self,
        idle: Micros,
        after: i64,
    ) -> Result<(Committed, Option<i64>), StoreError> {
        let now = self.db.now();
        let sql = format!(
            "SELECT job_key AS value FROM job_progress WHERE live = {LIVE} AND updated <= $1 AND job_key > $2 AND {} \
             ORDER BY job_key LIMIT 100",
            self.db.job_not_set_aside("job_key", 3)
        );
        let keys = self
            .keys(&sql, [(now - idle).into(), after.into(), now.into()])
            .await?;
        let last = keys.last().copied().filter(|_| keys.len() == 100);
        let committed = self.set_aside_unreadable(&keys, |keys| {
            let store = self.clone();
            async move { store.advance_jobs(&keys).await }
        });
        Ok((committed.await?, last))
    }

    async fn advance_jobs(&self, keys: &[i64]) -> Result<Committed, StoreError> {
        let db = &self.db;
        let metas = self.metas_by_key(keys).await?;
        if metas.is_empty() {
            return Ok(Committed::default());
        }
        let tx = db.write(Durability::Process).await?;
        let worked = async {
            let mut slices = db.lock_jobs(&tx, &metas, Locking::Skip).await?;
            for slice in &mut slices {
                db.advance(&tx, slice).await?;
            }
            db.write_slices(&tx, slices).await
        };
        let worked = worked.await;
        tx.end(worked).await
    }
}
