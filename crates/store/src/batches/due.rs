//! What time brings pages and items: those to split again, and timers and leases that are due.

use std::{collections::BTreeMap, sync::Arc};

use headway_domain::Micros;
use sea_orm::FromQueryResult;

use crate::{
    db::{Durability, keys},
    error::StoreError,
    ground::{committed::Committed, numbers::unsigned},
    slice::load::Locking,
    store::Store,
};

/// Timers of jobs that another transaction holds are left for the next round; those that are this
/// late wait for their turn.
const LATE_US: Micros = 250_000;

#[derive(Debug, FromQueryResult)]
struct DueItemRow {
    job_key: i64,
    page: i64,
    idx: i64,
    at: i64,
}

#[derive(Debug, FromQueryResult)]
struct ShardDueRow {
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

impl Store {
    /// When the next timer and the next lease of a shard's items end. Items of jobs that are set
    /// aside do not count.
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
        let rows: Vec<ShardDueRow> = self.db.all(self.db.work_reader(), sql, values).await?;
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

    /// Sends the items of a shard whose timer is over, or whose lease ended by `heard`; whether
    /// there may be more.
    ///
    /// `heard` is a time up to which all reports to the shard are applied: a report that waits may
    /// renew the lease, or end the item. An item with a timer has no message out, so that no report
    /// can speak of its present attempt.
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
            MAX_ROWS_PER_TX.into(),
        ];
        let due: Vec<DueItemRow> = db.all(db.work_reader(), &sql, values).await?;
        let more = due.len() as i64 == MAX_ROWS_PER_TX;
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
                let item = (unsigned(*page)?, unsigned(*index)?);
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
}

/// Items or pages handled by one transaction.
const MAX_ROWS_PER_TX: i64 = 1000;

#[derive(Debug, FromQueryResult)]
struct DuePageRow {
    job_key: i64,
    number: i64,
}

impl Store {
    /// Lets pages be split again whose delay is over.
    pub async fn fire_pages(&self) -> Result<Committed, StoreError> {
        let db = &self.db;
        let sql = format!(
            "SELECT job_key, number FROM page WHERE due > 0 AND due <= $1 AND {} ORDER BY due LIMIT $2",
            db.job_not_set_aside("job_key", 1)
        );
        let due: Vec<DuePageRow> = db
            .all(
                db.work_reader(),
                sql,
                [db.now().into(), MAX_ROWS_PER_TX.into()],
            )
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
        let pages = pages.iter().map(|page| unsigned(*page));
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
}
