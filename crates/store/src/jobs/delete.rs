//! Deleting jobs: they are gone at once, and what they leave is collected some time later, many
//! jobs at a time.

use std::{collections::HashMap, sync::Arc};

use headway_domain::{
    Error, JobSlice, Micros, PartitionId, events::Caller, jobs::JobMeta, slice::Disposition,
};

use crate::{
    db::{Durability, bulk::Conflict},
    error::StoreError,
    events::row::{EVENT, event_cells},
    ground::committed::{Change, Committed, Control},
    jobs::target::Target,
    slice::{
        load::Locking,
        rows::job::{META_COLUMNS, MetaRow},
    },
    store::Store,
};

impl Store {
    /// Removes a job, durably: it is gone at once, and what it leaves is removed by
    /// [`Store::collect_garbage`]. Workers are told to drop its items.
    pub async fn delete_job(
        &self,
        job: impl Into<Target<'_>>,
        caller: &Caller,
    ) -> Result<Committed, StoreError> {
        let job = job.into();
        let meta = self.named(job.name).await?;
        let (committed, gone) = self
            .remove(&[(meta, caller)], |slice| job.is(slice))
            .await?;
        match gone {
            0 => Err(Error::JobNotFound(job.name.clone()).into()),
            _ => Ok(committed),
        }
    }

    /// As [`Store::delete_job`], for several jobs of a partition in one transaction. Jobs that do
    /// not exist are skipped.
    pub async fn delete_jobs(
        &self,
        partition: &PartitionId,
        jobs: &[(String, Caller)],
    ) -> Result<Committed, StoreError> {
        let db = &self.db;
        let callers: HashMap<&str, &Caller> = jobs
            .iter()
            .map(|(id, caller)| (id.as_str(), caller))
            .collect();
        let ids: Vec<&str> = callers.keys().copied().collect();
        let sql = format!(
            "SELECT {META_COLUMNS} FROM job j WHERE j.partition_id = $1 AND j.job_id IN ({})",
            db.texts(2)
        );
        let list = serde_json::to_string(&ids).unwrap_or_default();
        let values = [partition.as_str().into(), list.into()];
        let rows: Vec<MetaRow> = db.all(db.work_reader(), sql, values).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let meta = Arc::new(JobMeta::try_from(row)?);
            if let Some(caller) = callers.get(meta.name.job.as_str()) {
                found.push((meta, *caller));
            }
        }
        Ok(self.remove(&found, |_| true).await?.0)
    }

    /// Removes jobs that are still wanted to be removed once they are locked; how many.
    async fn remove(
        &self,
        jobs: &[(Arc<JobMeta>, &Caller)],
        wanted: impl Fn(&JobSlice) -> bool,
    ) -> Result<(Committed, usize), StoreError> {
        let mut committed = Committed::default();
        if jobs.is_empty() {
            return Ok((committed, 0));
        }
        let db = &self.db;
        let callers: HashMap<i64, &Caller> = jobs
            .iter()
            .map(|(meta, caller)| (meta.key, *caller))
            .collect();
        let metas: Vec<_> = jobs.iter().map(|(meta, _)| meta.clone()).collect();
        let tx = db.write(Durability::Full).await?;
        let mut slices = db.lock_jobs(&tx, &metas, Locking::Wait).await?;
        slices.retain(wanted);
        if slices.is_empty() {
            return Ok((committed, 0));
        }
        db.forget_due(&tx, &slices).await?;
        committed.releases = db.write_tombstones(&tx, &slices).await?;
        let deleted: Vec<i64> = slices.iter().map(|slice| slice.job().meta.key).collect();
        db.delete_visible(&tx, &deleted).await?;
        let mut events = Vec::with_capacity(slices.len());
        for slice in &mut slices {
            slice.delete(db.now());
            if let Some(caller) = callers.get(&slice.job().meta.key) {
                let recorded = slice.events().iter();
                events.extend(recorded.map(|event| event_cells(slice.job(), event, caller)));
            }
        }
        EVENT.write(db, &tx, events, Conflict::Fail).await?;
        tx.commit().await?;
        for job in slices.iter().map(JobSlice::job) {
            committed.changes.push(Change {
                uid: job.meta.uid,
                partition: job.meta.name.partition.clone(),
                revision: job.revision,
                time: job.updated,
                deleted: true,
            });
            if !job.phase.is_final() || job.settled.is_none() {
                committed.controls.push(Control {
                    uid: job.meta.uid,
                    control: u32::MAX,
                    disposition: Disposition::Discard,
                });
            }
        }
        Ok((committed, slices.len()))
    }
}

/// Jobs that one call deletes because their time is over.
const MAX_JOBS_EXPIRED: i64 = 100;

impl Store {
    /// Deletes some jobs whose time is over; whether there may be more. Jobs that cannot be read
    /// are set aside.
    pub async fn expire_jobs(&self) -> Result<(Committed, bool), StoreError> {
        let sql = format!(
            "SELECT job_key AS value FROM job_progress WHERE expires > 0 AND expires <= $1 AND {} ORDER BY expires LIMIT $2",
            self.db.job_not_set_aside("job_key", 1)
        );
        let now = self.db.now();
        let keys = self
            .keys(&sql, [now.into(), MAX_JOBS_EXPIRED.into()])
            .await?;
        let more = keys.len() as i64 == MAX_JOBS_EXPIRED;
        let committed = self.set_aside_unreadable(&keys, |keys| {
            let store = self.clone();
            async move { store.expire(&keys, now).await }
        });
        Ok((committed.await?, more))
    }

    async fn expire(&self, keys: &[i64], now: Micros) -> Result<Committed, StoreError> {
        let caller = Caller {
            user: "headway".to_owned(),
            correlation: String::new(),
        };
        let over = self.metas_by_key(keys).await?.into_iter();
        let over: Vec<_> = over.map(|meta| (meta, &caller)).collect();
        // It may have been retried meanwhile.
        let still = |slice: &JobSlice| slice.job().expires.is_some_and(|expires| expires <= now);
        Ok(self.remove(&over, still).await?.0)
    }
}

/// Deleted jobs whose rows one transaction removes at most.
const MAX_JOBS_COLLECTED: i64 = 200;

impl Store {
    /// Removes some rows of deleted jobs; whether there may be more.
    pub async fn collect_garbage(&self) -> Result<bool, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let garbage = db.lock_garbage(&tx, MAX_JOBS_COLLECTED).await?;
        if garbage.is_empty() {
            return Ok(false);
        }
        let all = db.remove_garbage(&tx, &garbage).await?;
        tx.commit().await?;
        Ok(!all || garbage.len() as i64 == MAX_JOBS_COLLECTED)
    }
}
