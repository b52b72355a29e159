//! What time brings: timers and leases that are due, pages to split again, jobs that stand still, and repair.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use headway_domain::Micros;
use sea_orm::FromQueryResult;

use super::{epoch::EPOCH_COLUMN, unreadable::Source, work::Locking};
use crate::{
    Committed, Store,
    db::{Durability, keys},
    error::StoreError,
    rows::unsigned,
};

/// Items or pages handled by one transaction.
const BATCH: i64 = 1000;
/// Jobs started, or ended, by one transaction.
const JOBS: i64 = 200;
/// Timers of jobs that another transaction holds are left for the next round; those that are this late wait for their turn.
const LATE_US: Micros = 250_000;

#[derive(Debug, FromQueryResult)]
struct DueItem {
    job_key: i64,
    page: i64,
    idx: i64,
    at: i64,
}

#[derive(Debug, FromQueryResult)]
struct PipeRow {
    pipe: String,
}

#[derive(Debug, FromQueryResult)]
struct DuePage {
    job_key: i64,
    number: i64,
}

#[derive(Debug, FromQueryResult)]
struct ShardDue {
    shard: i64,
    timer: Option<i64>,
    lease: Option<i64>,
}

/// When the next timer and the next lease of a shard's items end; either time may be in the past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NextDue {
    /// A retry is due.
    pub timer: Option<Micros>,
    /// A lease ends.
    pub lease: Option<Micros>,
}

impl NextDue {
    /// The earlier one.
    pub fn first(self) -> Option<Micros> {
        [self.timer, self.lease].into_iter().flatten().min()
    }
}

/// A job with pages out of which nothing was heard for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentJob {
    /// Its key.
    pub key: i64,
    /// The shard that its reports go to.
    pub shard: u16,
}

#[derive(Debug, FromQueryResult)]
struct SilentRow {
    job_key: i64,
    shard: i64,
}

impl Store {
    /// When the next timer and the next lease of a shard's items end. Items of jobs that are set aside do not count.
    pub async fn next_due(&self, shard: u16) -> Result<NextDue, StoreError> {
        let due = self.next_due_of_all(&[shard]).await?;
        Ok(due.get(&shard).copied().unwrap_or_default())
    }

    /// As [`Store::next_due`], of several shards in one statement.
    pub async fn next_due_of_all(
        &self,
        shards: &[u16],
    ) -> Result<BTreeMap<u16, NextDue>, StoreError> {
        let readable = self.db.job_not_set_aside("job_key", 2);
        let sql = format!(
            "SELECT s.value AS shard, \
               (SELECT min(due) FROM item WHERE shard = s.value AND due > 0 AND {readable}) AS timer, \
               (SELECT min(lease_until) FROM item WHERE shard = s.value AND lease_until > 0 AND {readable}) AS lease \
             FROM {}",
            self.db.each_int("s", 1)
        );
        let shards = keys::ints(shards.iter().map(|shard| i64::from(*shard)));
        let values = [shards, self.db.now().into()];
        let rows: Vec<ShardDue> = self.db.all(self.db.work_reader(), sql, values).await?;
        rows.into_iter()
            .map(|row| {
                let due = NextDue {
                    timer: row.timer,
                    lease: row.lease,
                };
                Ok((unsigned(row.shard)?, due))
            })
            .collect()
    }

    /// Sends the items of a shard whose timer is over, or whose lease ended by `heard`; whether there may be more.
    ///
    /// `heard` is a time up to which all reports to the shard are applied: a report that waits may renew the lease, or end the
    /// item. An item with a timer has no message out, so that no report can speak of its present attempt.
    pub async fn fire_items(
        &self,
        shard: u16,
        heard: Micros,
    ) -> Result<(Committed, bool), StoreError> {
        let db = &self.db;
        let now = db.now();
        let readable = db.job_not_set_aside("job_key", 2);
        let sql = format!(
            "SELECT job_key, page, idx, due AS at FROM item WHERE shard = $1 AND due > 0 AND due <= $2 AND {readable} \
             UNION SELECT job_key, page, idx, lease_until FROM item WHERE shard = $1 AND lease_until > 0 AND lease_until <= $3 \
             AND {readable} LIMIT $4"
        );
        // Where the time jumped, leases of workers that are alive are not renewed yet.
        let lease = std::time::Duration::from_micros(db.lease.unsigned_abs());
        let heard = match db.clock.moved_within(lease) {
            true => 0,
            false => heard.min(now),
        };
        let values = [
            i64::from(shard).into(),
            now.into(),
            heard.into(),
            BATCH.into(),
        ];
        let due: Vec<DueItem> = db.all(db.work_reader(), &sql, values).await?;
        let more = due.len() as i64 == BATCH;
        let late = due.iter().any(|item| item.at < now - LATE_US);
        let locking = if late { Locking::Wait } else { Locking::Skip };
        let mut by_job: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for row in due {
            let items = by_job.entry(row.job_key).or_default();
            items.push((row.page, row.idx));
        }
        if by_job.is_empty() {
            return Ok((Committed::default(), false));
        }
        let jobs: Vec<i64> = by_job.keys().copied().collect();
        let by_job = Arc::new(by_job);
        let committed = self.set_aside_unreadable(&jobs, |jobs| {
            let (store, by_job) = (self.clone(), by_job.clone());
            async move { store.fire_items_of(&jobs, &by_job, locking).await }
        });
        Ok((committed.await?, more))
    }

    async fn fire_items_of(
        &self,
        jobs: &[i64],
        due: &BTreeMap<i64, Vec<(i64, i64)>>,
        locking: Locking,
    ) -> Result<Committed, StoreError> {
        let db = &self.db;
        let mut by_job: BTreeMap<i64, Vec<(u32, u32)>> = BTreeMap::new();
        for key in jobs {
            for (page, index) in due.get(key).into_iter().flatten() {
                let item = (
                    crate::rows::unsigned(*page)?,
                    crate::rows::unsigned(*index)?,
                );
                by_job.entry(*key).or_default().push(item);
            }
        }
        let metas = self.metas_by_key(jobs).await?;
        let tx = db.write(Durability::Process).await?;
        let worked = async {
            let mut slices = db.lock_jobs(&tx, &metas, locking).await?;
            let items: Vec<_> = slices
                .iter()
                .filter_map(|slice| {
                    by_job
                        .get(&slice.job().meta.key)
                        .map(|items| (slice.job().meta.key, items))
                })
                .flat_map(|(key, items)| {
                    items.iter().map(move |(page, index)| (key, *page, *index))
                })
                .collect();
            let pages: std::collections::BTreeSet<_> =
                items.iter().map(|(key, page, _)| (*key, *page)).collect();
            db.load_pages(&tx, &mut slices, &pages.into_iter().collect::<Vec<_>>())
                .await?;
            db.load_items(&tx, &mut slices, &items).await?;
            for slice in &mut slices {
                if let Some(items) = by_job.get(&slice.job().meta.key) {
                    slice.fire_items(items);
                }
                if slice.has_changed() {
                    db.advance(&tx, slice).await?;
                }
            }
            db.write_slices(&tx, slices).await
        };
        let worked = worked.await;
        tx.end(worked).await
    }

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

    /// Starts jobs whose time has come, and ends those whose deadline has passed; whether there may be more.
    pub async fn fire_jobs(&self) -> Result<(Committed, bool), StoreError> {
        let readable = self.db.job_not_set_aside("job_key", 1);
        let sql = format!(
            "SELECT value FROM (SELECT job_key AS value FROM job_progress WHERE start_due > 0 AND start_due <= $1 AND {readable} \
               ORDER BY start_due LIMIT $2) AS starting \
             UNION SELECT value FROM (SELECT job_key AS value FROM job_progress WHERE deadline > 0 AND deadline <= $1 AND {readable} \
               ORDER BY deadline LIMIT $2) AS late"
        );
        let keys = self.keys(&sql, [self.db.now().into(), JOBS.into()]).await?;
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
        Ok((committed, fired.load(Ordering::Relaxed) as i64 >= JOBS))
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

    /// Lets pages be split again whose delay is over.
    pub async fn fire_pages(&self) -> Result<Committed, StoreError> {
        let db = &self.db;
        let sql = format!(
            "SELECT job_key, number FROM page WHERE due > 0 AND due <= $1 AND {} ORDER BY due LIMIT $2",
            db.job_not_set_aside("job_key", 1)
        );
        let due: Vec<DuePage> = db
            .all(db.work_reader(), sql, [db.now().into(), BATCH.into()])
            .await?;
        let mut by_job: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for row in due {
            by_job.entry(row.job_key).or_default().push(row.number);
        }
        let mut committed = Committed::default();
        for (key, pages) in by_job {
            let only = [key];
            let fired = self.set_aside_unreadable(&only, |_| {
                let (store, pages) = (self.clone(), pages.clone());
                async move { store.fire_pages_of(key, &pages).await }
            });
            committed.merge(fired.await?);
        }
        Ok(committed)
    }

    async fn fire_pages_of(&self, key: i64, pages: &[i64]) -> Result<Committed, StoreError> {
        let db = &self.db;
        let pages = pages.iter().map(|page| crate::rows::unsigned(*page));
        let pages: Vec<u32> = pages.collect::<Result<_, _>>()?;
        let Some(meta) = self.meta_by_key(key).await? else {
            return Ok(Committed::default());
        };
        let tx = db.write(Durability::Process).await?;
        let worked = async {
            let mut slices = db.lock_jobs(&tx, &[meta], Locking::Skip).await?;
            let list: Vec<_> = pages.iter().map(|page| (key, *page)).collect();
            db.load_pages(&tx, &mut slices, &list).await?;
            for slice in &mut slices {
                slice.fire_pages(&pages);
                if slice.has_changed() {
                    db.advance(&tx, slice).await?;
                }
            }
            db.write_slices(&tx, slices).await
        };
        let worked = worked.await;
        tx.end(worked).await
    }

    /// Advances jobs that have not ended, or not settled, and did not change for `idle`: what a crash between two
    /// commits may leave. Jobs above `after` by key; the last key looked at, if there may be more.
    pub async fn advance_idle(
        &self,
        idle: Micros,
        after: i64,
    ) -> Result<(Committed, Option<i64>), StoreError> {
        let now = self.db.now();
        let sql = format!(
            "SELECT job_key AS value FROM job_progress WHERE live = 1 AND updated <= $1 AND job_key > $2 AND {} \
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

    pub(crate) async fn keys(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Vec<i64>, StoreError> {
        let rows = self.db.rows(self.db.work_reader(), sql, values).await?;
        rows.iter()
            .map(|row| Ok(row.try_get::<i64>("", "value")?))
            .collect()
    }

    /// The jobs of a pipe in these shards, by key, with pages out that nothing was heard of since `before`.
    pub async fn silent_jobs(
        &self,
        pipe: &str,
        before: Micros,
        shards: &[u16],
    ) -> Result<Vec<SilentJob>, StoreError> {
        let splitting = match self.db.is_sqlite() {
            true => "(p.state = 2)",
            false => "(p.state = 2)::int",
        };
        let sql = format!(
            "SELECT j.job_key, j.shard FROM job_progress j WHERE j.live = 1 AND j.pipe = $1 AND {} AND EXISTS ( \
               SELECT 1 FROM page p WHERE p.job_key = j.job_key AND p.run = j.run AND p.state IN (2, 3) \
                 AND p.released + {splitting} > 0 AND p.touched < $2 \
             ) AND {} ORDER BY j.job_key LIMIT 1000",
            self.db.is_in("j.shard", 3),
            self.db.job_not_set_aside("j.job_key", 4)
        );
        let shards = crate::db::keys::ints(shards.iter().map(|shard| i64::from(*shard)));
        let values = [pipe.into(), before.into(), shards, self.db.now().into()];
        let rows: Vec<SilentRow> = self.db.all(self.db.work_reader(), &sql, values).await?;
        rows.into_iter()
            .map(|row| {
                Ok(SilentJob {
                    key: row.job_key,
                    shard: crate::rows::unsigned(row.shard)?,
                })
            })
            .collect()
    }

    /// The pipes of jobs that have not settled.
    pub async fn live_pipes(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<PipeRow> = self
            .db
            .all(
                self.db.work_reader(),
                "SELECT DISTINCT pipe FROM job_progress WHERE live = 1",
                [],
            )
            .await?;
        Ok(rows.into_iter().map(|row| row.pipe).collect())
    }

    /// Jobs that have not settled and have pages out that were released in an older broker epoch.
    pub async fn jobs_of_older_epochs(&self) -> Result<Vec<i64>, StoreError> {
        let sql = format!("SELECT {EPOCH_COLUMN}");
        let row = self.db.row(self.db.work_reader(), sql, []).await?;
        let epoch = self.db.epoch_of(row.as_ref())?;
        let sql = format!(
            "SELECT j.job_key AS value FROM job_progress j WHERE j.live = 1 AND EXISTS ( \
               SELECT 1 FROM page p WHERE p.job_key = j.job_key AND p.run = j.run AND p.state IN (2, 3) AND p.epoch < $1 AND p.touched > 0 \
                 AND (p.state = 2 OR p.released > 0) \
             ) AND {} ORDER BY j.job_key LIMIT 1000",
            self.db.job_not_set_aside("j.job_key", 2)
        );
        self.keys(&sql, [epoch.into(), self.db.now().into()]).await
    }

    /// The pipes, other than the one that a job's items enter first, that items of it were forwarded to.
    pub async fn forward_pipes(&self, key: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT pipe FROM item WHERE job_key = $1 AND forwarded = 1";
        let rows: Vec<PipeRow> = self
            .db
            .all(self.db.work_reader(), sql, [key.into()])
            .await?;
        Ok(rows.into_iter().map(|row| row.pipe).collect())
    }

    /// Releases again what rests on lost messages in pages of a job that were not touched since `before`, or
    /// were released in an older epoch. Some pages a call; whether there may be more. A job that cannot be read is set aside.
    pub async fn repair_job(
        &self,
        key: i64,
        before: Micros,
    ) -> Result<(Committed, bool), StoreError> {
        match self.repair_pages(key, before).await {
            Err(error) if !error.is_passing() => {
                self.set_aside(Source::Job, &key.to_string(), &error)
                    .await?;
                Ok((Committed::default(), false))
            }
            result => result,
        }
    }

    async fn repair_pages(
        &self,
        key: i64,
        before: Micros,
    ) -> Result<(Committed, bool), StoreError> {
        let Some(meta) = self.meta_by_key(key).await? else {
            return Ok((Committed::default(), false));
        };
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let Some(mut slice) = db.lock_job(&tx, &meta).await? else {
            return Ok((Committed::default(), false));
        };
        let sql = "SELECT number AS value FROM page WHERE job_key = $1 AND state IN (2, 3) AND (touched < $2 OR epoch < $3) \
                   AND (state = 2 OR released > 0) AND run = $4 ORDER BY number LIMIT 64";
        let values = [
            key.into(),
            before.into(),
            slice.moment().epoch.into(),
            i64::from(slice.job().run).into(),
        ];
        let rows = db.rows(&*tx, sql, values).await?;
        let mut pages = Vec::with_capacity(rows.len());
        for row in &rows {
            pages.push(crate::rows::unsigned::<u32>(
                row.try_get::<i64>("", "value")?,
            )?);
        }
        let list: Vec<_> = pages.iter().map(|page| (key, *page)).collect();
        db.load_pages(&tx, std::slice::from_mut(&mut slice), &list)
            .await?;
        db.load_items_of(&tx, &mut slice, &pages).await?;
        slice.repair(&pages, before);
        if slice.has_changed() {
            db.advance(&tx, &mut slice).await?;
        }
        let more = pages.len() == 64;
        let committed = db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        Ok((committed, more))
    }
}
