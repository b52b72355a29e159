//! The credit of pipes: how fast each drains, which jobs want more of it, and what each may have
//! out.

use std::{collections::BTreeMap, sync::Arc};

use headway_domain::pipes::{PipeLimits, Share};

use crate::{
    db::Durability,
    error::StoreError,
    ground::{committed::Committed, numbers::unsigned},
    pipes::{
        Pipes,
        rates::{RateRow, SILENT_US},
    },
    slice::{load::Locking, rows::progress::LIVE},
    store::Store,
};

/// A pipe that jobs want more of.
#[derive(Debug, Clone, PartialEq)]
pub struct PipeShare {
    /// The pipe.
    pub pipe: String,
    /// Measured items per second, over all tracking processes.
    pub rate: f64,
    /// What it takes at most.
    pub limits: PipeLimits,
    /// Items that other jobs have in it or will send to it again, where its items in flight are
    /// limited. Where they are more than the limit, at least the limit.
    pub reserved: u64,
    /// The hungry jobs.
    pub jobs: Vec<HungryJob>,
}

/// A job with work that a larger share would release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HungryJob {
    /// The key of its rows.
    pub job_key: i64,
    /// Its partition.
    pub partition_id: String,
    /// Its present allowance.
    pub allowance: i64,
    /// Its items that are in the pipe or at workers.
    pub in_flight: i64,
    /// Its items that wait for their next attempt.
    pub delayed: i64,
    /// How many of them go in one message at most.
    pub items_per_message: i64,
    /// Its priority.
    pub priority: i64,
    /// How many of its items may be out at once.
    pub max_in_flight: i64,
    /// Its items that could be sent now.
    pub ready: i64,
    /// Whether more of its items are to be found.
    pub endless: bool,
    /// Whether it is to be advanced although nothing of it comes back: see
    /// [`headway_domain::Job::is_reopening`].
    pub reopening: bool,
    /// How many more it may send where the pipe takes a limited number a second.
    pub tokens: Option<u32>,
}

impl Pipes<'_> {
    /// The pipes that jobs want more of, with their measured rates and limits.
    pub async fn hungry(self) -> Result<Vec<PipeShare>, StoreError> {
        let db = &self.store.db;
        let hungry = match db.is_sqlite() {
            true => self.hungry_one_by_one().await?,
            false => self.hungry_at_once().await?,
        };
        if hungry.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT pipe, sum(rate) AS rate FROM pipe_rate WHERE updated >= $1 GROUP BY pipe";
        let rates: Vec<RateRow> = db
            .all(db.work_reader(), sql, [(db.now() - SILENT_US).into()])
            .await?;
        let rates: BTreeMap<String, f64> =
            rates.into_iter().map(|row| (row.pipe, row.rate)).collect();
        let limits = self.all_limits().await?;
        let limits: BTreeMap<String, PipeLimits> = limits
            .into_iter()
            .map(|view| (view.pipe.to_string(), view.limits))
            .collect();
        let mut pipes: BTreeMap<String, PipeShare> = BTreeMap::new();
        for row in hungry {
            let share = pipes.entry(row.pipe.clone()).or_insert_with(|| PipeShare {
                rate: rates.get(&row.pipe).copied().unwrap_or(0.0),
                limits: limits.get(&row.pipe).copied().unwrap_or_default(),
                reserved: 0,
                pipe: row.pipe.clone(),
                jobs: Vec::new(),
            });
            share.jobs.push(row.job());
        }
        for pipe in pipes.values_mut() {
            if let Some(limit) = pipe.limits.in_flight {
                pipe.reserved = self.reserved(&pipe.pipe, limit).await?;
            }
        }
        Ok(pipes.into_values().collect())
    }

    /// What jobs that want no more have in a pipe, or will send there again; at least the limit
    /// where it is more. Each job that counts has an item, so it reads no more of them than the
    /// limit.
    async fn reserved(self, pipe: &str, limit: u32) -> Result<u64, StoreError> {
        let db = &self.store.db;
        let held = "known - done - failed - discarded - unreleased - parked";
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(h.held), 0) AS BIGINT) AS value FROM (SELECT {held} AS held FROM job_progress \
             WHERE pipe = $1 AND live = {LIVE} AND hungry = 0 AND {held} > 0 LIMIT $2) h"
        );
        let values = [pipe.into(), i64::from(limit).into()];
        let items = db.one_int(db.work_reader(), sql, values).await?;
        unsigned(items.unwrap_or(0))
    }
}

impl Store {
    /// Sets what jobs may send, in one transaction, and releases what that allows. Jobs that are
    /// gone are skipped, and those that cannot be read are set aside.
    pub async fn set_shares(&self, shares: &[(i64, Share)]) -> Result<Committed, StoreError> {
        let by_key: BTreeMap<i64, Share> = shares.iter().copied().collect();
        if by_key.is_empty() {
            return Ok(Committed::default());
        }
        let keys: Vec<i64> = by_key.keys().copied().collect();
        let by_key = Arc::new(by_key);
        self.set_aside_unreadable(&keys, |keys| {
            let (store, by_key) = (self.clone(), by_key.clone());
            async move { store.set_shares_of(&keys, &by_key).await }
        })
        .await
    }

    async fn set_shares_of(
        &self,
        keys: &[i64],
        by_key: &BTreeMap<i64, Share>,
    ) -> Result<Committed, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let metas = self.metas_in(&tx, keys).await?;
        let mut slices = db.lock_jobs(&tx, &metas, Locking::Wait).await?;
        for slice in &mut slices {
            if let Some(share) = by_key.get(&slice.job().meta.key) {
                slice.set_share(*share);
            }
            if slice.has_changed() || slice.job().is_reopening() {
                db.advance(&tx, slice).await?;
            }
        }
        let committed = db.write_slices(&tx, slices).await?;
        tx.commit().await?;
        Ok(committed)
    }
}
