//! The credit of pipes: how fast each drains, which jobs want more of it, and what each may have out.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use headway_domain::Micros;
use sea_orm::FromQueryResult;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::work::Locking;
use crate::{Committed, Store, db::Durability, error::StoreError};

/// Jobs that share a pipe's credit in one round at most; those with the lowest keys have been waiting longest.
const SHARING: i64 = 4096;

/// The rates of a process that published none for so long do not count.
pub(super) const SILENT_US: Micros = 5_000_000;
/// What a new job may have out before its pipe's credit is shared out, where nothing is known of the pipe or others want
/// more of it too.
pub(crate) const FIRST_ALLOWANCE: u32 = 128;
/// The part of a second that a new job may send to a pipe that nobody else wants more of.
const FIRST_SECONDS: f64 = 0.5;
/// How old the knowledge may be that first allowances are judged by.
const KNOWN_FOR: Duration = Duration::from_millis(100);

/// What the pipes drain that no job wants more of, as of some moment.
#[derive(Debug, Default)]
pub(crate) struct FreePipes(Mutex<Option<(Instant, BTreeMap<String, f64>)>>);

/// A pipe that jobs want more of.
#[derive(Debug, Clone, PartialEq)]
pub struct PipeShare {
    /// The pipe.
    pub pipe: String,
    /// Measured items per second, over all tracking processes.
    pub rate: f64,
    /// The hungry jobs.
    pub jobs: Vec<HungryJob>,
}

/// A job with work that a larger share would release.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct HungryJob {
    /// The key of its rows.
    pub job_key: i64,
    /// Its partition.
    pub partition_id: String,
    /// Its present allowance.
    pub allowance: i64,
    /// Its items that are in the pipe or at workers.
    pub in_flight: i64,
    /// How many of them go in one message at most.
    pub items_per_message: i64,
}

#[derive(Debug, FromQueryResult)]
struct HungryRow {
    pipe: String,
    job_key: i64,
    partition_id: String,
    allowance: i64,
    in_flight: i64,
    items_per_message: i64,
}

#[derive(Debug, FromQueryResult)]
struct RateRow {
    pipe: String,
    rate: f64,
}

impl Store {
    /// Publishes the rates that one tracking process measured, and forgets those of processes that fell silent.
    pub async fn publish_rates(
        &self,
        owner: Uuid,
        rates: &BTreeMap<String, f64>,
        silent: Micros,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let now = db.now();
        for (pipe, rate) in rates {
            let sql = "INSERT INTO pipe_rate (pipe, owner, rate, updated) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (pipe, owner) DO UPDATE SET rate = excluded.rate, updated = excluded.updated";
            let values = [
                pipe.as_str().into(),
                owner.as_bytes().to_vec().into(),
                (*rate).into(),
                now.into(),
            ];
            db.run(&*tx, sql, values).await?;
        }
        db.run(
            &*tx,
            "DELETE FROM pipe_rate WHERE updated < $1",
            [(now - silent).into()],
        )
        .await?;
        tx.commit().await
    }

    /// The pipes that jobs want more of, with their measured rates.
    pub async fn hungry_pipes(&self) -> Result<Vec<PipeShare>, StoreError> {
        let db = &self.db;
        let sql = "SELECT p.pipe, p.job_key, j.partition_id, p.allowance, j.items_per_message, \
                   p.known - p.done - p.failed - p.discarded - p.unreleased - p.parked - p.delayed AS in_flight \
                   FROM job_progress p JOIN job j ON j.job_key = p.job_key WHERE p.hungry = 1 ORDER BY p.pipe, p.job_key LIMIT $1";
        let hungry: Vec<HungryRow> = db.all(db.reader(), sql, [SHARING.into()]).await?;
        if hungry.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT pipe, sum(rate) AS rate FROM pipe_rate WHERE updated >= $1 GROUP BY pipe";
        let rates: Vec<RateRow> = db
            .all(db.reader(), sql, [(db.now() - SILENT_US).into()])
            .await?;
        let rates: BTreeMap<String, f64> =
            rates.into_iter().map(|row| (row.pipe, row.rate)).collect();
        let mut pipes: BTreeMap<String, PipeShare> = BTreeMap::new();
        for row in hungry {
            let rate = rates.get(&row.pipe).copied().unwrap_or(0.0);
            let share = pipes.entry(row.pipe.clone()).or_insert_with(|| PipeShare {
                pipe: row.pipe,
                rate,
                jobs: Vec::new(),
            });
            share.jobs.push(HungryJob {
                job_key: row.job_key,
                partition_id: row.partition_id,
                allowance: row.allowance,
                in_flight: row.in_flight,
                items_per_message: row.items_per_message,
            });
        }
        Ok(pipes.into_values().collect())
    }

    /// What a new job of this pipe may have out from the start: as much as the pipe drains in half a second if nobody else
    /// wants more of it, else a little, until the credit is shared out.
    pub(crate) async fn first_allowance(&self, pipe: &str) -> u32 {
        let mut known = self.free_pipes.0.lock().await;
        if known
            .as_ref()
            .is_none_or(|(when, _)| when.elapsed() >= KNOWN_FOR)
        {
            match self.free_pipes().await {
                Ok(pipes) => *known = Some((Instant::now(), pipes)),
                Err(error) => {
                    tracing::debug!(%error, "the rates of pipes are not known");
                    return FIRST_ALLOWANCE;
                }
            }
        }
        // The first one has it: a second job that comes at once shares like all others.
        let rate = known.as_mut().and_then(|(_, pipes)| pipes.remove(pipe));
        ((rate.unwrap_or(0.0) * FIRST_SECONDS) as u32).max(FIRST_ALLOWANCE)
    }

    async fn free_pipes(&self) -> Result<BTreeMap<String, f64>, StoreError> {
        let db = &self.db;
        let sql = "SELECT r.pipe, sum(r.rate) AS rate FROM pipe_rate r WHERE r.updated >= $1 \
                   AND NOT EXISTS (SELECT 1 FROM job_progress p WHERE p.pipe = r.pipe AND p.hungry = 1) GROUP BY r.pipe";
        let rates: Vec<RateRow> = db
            .all(db.reader(), sql, [(db.now() - SILENT_US).into()])
            .await?;
        Ok(rates.into_iter().map(|row| (row.pipe, row.rate)).collect())
    }

    /// Sets what a job may have out, and releases what that allows.
    pub async fn set_allowance(&self, key: i64, allowance: u32) -> Result<Committed, StoreError> {
        let Some(meta) = self.meta_by_key(key).await? else {
            return Ok(Committed::default());
        };
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let mut slices = db.lock_jobs(&tx, &[meta], Locking::Wait).await?;
        for slice in &mut slices {
            if slice.job.allowance != allowance.max(1) {
                slice.set_allowance(allowance);
                db.advance(&tx, slice).await?;
            }
        }
        let committed = db.write_slices(&tx, slices).await?;
        tx.commit().await?;
        Ok(committed)
    }
}
