//! The credit of pipes: how fast each drains, which jobs want more of it, and what each may have out.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use headway_domain::{
    Micros,
    bulk::JOBS,
    share::{PartitionShare, PipeLimits, Share},
};
use sea_orm::FromQueryResult;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::work::Locking;
use crate::{
    Committed, Store,
    db::Durability,
    error::StoreError,
    rows::{job::PROGRESS, unsigned},
};

/// Jobs that share credit in one round, about: as many of each partition on each pipe as there is room for, by priority, and of
/// those of one priority the oldest.
const SHARING: i64 = 4096;
/// So many of each partition on each pipe share in any case.
const LEAST: i64 = 4;
/// What is known of a job that shares.
const COLUMNS: &str = "p.pipe, p.job_key, p.partition_id, p.allowance, p.delayed, p.tokens, p.carried, p.reopen, \
     j.items_per_message, p.priority, p.max_in_flight, \
     p.known - p.done - p.failed - p.discarded - p.unreleased - p.parked - p.delayed AS in_flight, \
     p.unreleased + p.parked AS ready, p.unsplit + p.splitting AS unfound";

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
    /// What it takes at most.
    pub limits: PipeLimits,
    /// Items that other jobs have in it or will send to it again, where its items in flight are limited. Where they are more
    /// than the limit, at least the limit.
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
    /// Whether it is to be advanced although nothing of it comes back: see [`headway_domain::Job::is_reopening`].
    pub reopening: bool,
    /// How many more it may send where the pipe takes only so many a second.
    pub tokens: Option<u32>,
}

/// A partition that does not share pipes as most do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionUse {
    /// Its weight and quotas.
    pub share: PartitionShare,
    /// Its items in pipes and at workers, where those are limited.
    pub in_flight: u64,
}

#[derive(Debug, FromQueryResult)]
struct HungryRow {
    pipe: String,
    job_key: i64,
    partition_id: String,
    allowance: i64,
    in_flight: i64,
    delayed: i64,
    items_per_message: i64,
    priority: i64,
    max_in_flight: i64,
    ready: i64,
    unfound: i64,
    tokens: i64,
    carried: i64,
    reopen: i64,
}

/// A partition that wants more of a pipe.
#[derive(Debug, FromQueryResult)]
struct TurnRow {
    pipe: String,
    partition_id: String,
}

#[derive(Debug, FromQueryResult)]
struct UseRow {
    partition_id: String,
    weight: i64,
    quota: i64,
    in_flight: i64,
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

    /// The pipes that jobs want more of, with their measured rates and limits.
    pub async fn hungry_pipes(&self) -> Result<Vec<PipeShare>, StoreError> {
        let db = &self.db;
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
        let limits = self.limits_of_pipes().await?;
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

    /// The jobs that share, in one statement: from each partition on each pipe it leaps to the next, and reads the first of each.
    async fn hungry_at_once(&self) -> Result<Vec<HungryRow>, StoreError> {
        let db = &self.db;
        let sql = format!(
            "WITH RECURSIVE turn AS ( \
               (SELECT pipe, partition_id FROM job_progress WHERE hungry = 1 ORDER BY pipe, partition_id LIMIT 1) \
               UNION ALL SELECT n.pipe, n.partition_id FROM turn t CROSS JOIN LATERAL ( \
                 SELECT q.pipe, q.partition_id FROM job_progress q \
                 WHERE q.hungry = 1 AND (q.pipe, q.partition_id) > (t.pipe, t.partition_id) \
                 ORDER BY q.pipe, q.partition_id LIMIT 1) n \
             ) SELECT {COLUMNS} FROM turn t CROSS JOIN LATERAL ( \
               SELECT {} FROM job_progress q WHERE q.hungry = 1 AND q.pipe = t.pipe AND q.partition_id = t.partition_id \
               ORDER BY q.priority DESC, q.job_key LIMIT GREATEST($2, $1 / (SELECT GREATEST(count(*), 1) FROM turn)) \
             ) p JOIN job j ON j.job_key = p.job_key",
            PROGRESS.columns_of("q")
        );
        db.all(db.work_reader(), sql, [SHARING.into(), LEAST.into()])
            .await
    }

    /// The same where a statement costs no round trip, and joins cannot be lateral.
    async fn hungry_one_by_one(&self) -> Result<Vec<HungryRow>, StoreError> {
        let db = &self.db;
        let next = "SELECT pipe, partition_id FROM job_progress WHERE hungry = 1 AND (pipe, partition_id) > ($1, $2) \
                    ORDER BY pipe, partition_id LIMIT 1";
        let mut turns: Vec<TurnRow> = Vec::new();
        loop {
            let (pipe, partition) = turns.last().map_or(("", ""), |turn| {
                (turn.pipe.as_str(), turn.partition_id.as_str())
            });
            match db
                .one(db.work_reader(), next, [pipe.into(), partition.into()])
                .await?
            {
                Some(turn) => turns.push(turn),
                None => break,
            }
        }
        let each = SHARING / i64::try_from(turns.len().max(1)).unwrap_or(SHARING);
        let sql = format!(
            "SELECT {COLUMNS} FROM job_progress p JOIN job j ON j.job_key = p.job_key \
             WHERE p.hungry = 1 AND p.pipe = $1 AND p.partition_id = $2 ORDER BY p.priority DESC, p.job_key LIMIT $3"
        );
        let mut hungry = Vec::new();
        for turn in turns {
            let values = [
                turn.pipe.into(),
                turn.partition_id.into(),
                each.max(LEAST).into(),
            ];
            hungry.extend(db.all(db.work_reader(), sql.clone(), values).await?);
        }
        Ok(hungry)
    }

    /// What jobs that want no more have in a pipe, or will send there again; at least the limit where it is more. Each job
    /// that counts has an item, so it reads no more of them than the limit.
    async fn reserved(&self, pipe: &str, limit: u32) -> Result<u64, StoreError> {
        let db = &self.db;
        let held = "known - done - failed - discarded - unreleased - parked";
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(h.held), 0) AS BIGINT) AS value FROM (SELECT {held} AS held FROM job_progress \
             WHERE pipe = $1 AND live = 1 AND hungry = 0 AND {held} > 0 LIMIT $2) h"
        );
        let values = [pipe.into(), i64::from(limit).into()];
        let items = db.one_int(db.work_reader(), sql, values).await?;
        unsigned(items.unwrap_or(0))
    }

    /// The partitions that have a weight or a quota of items in flight, by id.
    pub async fn partition_uses(&self) -> Result<BTreeMap<String, PartitionUse>, StoreError> {
        let db = &self.db;
        let sql = format!(
            "SELECT s.partition_id, s.weight, s.in_flight AS quota, CASE WHEN s.in_flight = 0 THEN 0 ELSE ( \
                     SELECT CAST(COALESCE(SUM(p.known - p.done - p.failed - p.discarded - p.unreleased - p.parked - p.delayed), 0) AS BIGINT) \
                     FROM job_progress p WHERE p.partition_id = s.partition_id AND p.live = 1 AND p.pipe <> '{JOBS}') END AS in_flight \
                   FROM partition_setting s WHERE s.weight <> 1 OR s.in_flight > 0"
        );
        let rows: Vec<UseRow> = db.all(db.work_reader(), sql, []).await?;
        let of = |row: UseRow| {
            let quota: u32 = unsigned(row.quota)?;
            let share = PartitionShare {
                weight: unsigned(row.weight)?,
                open_jobs: None,
                in_flight: Some(quota).filter(|quota| *quota > 0),
            };
            let in_flight = unsigned(row.in_flight)?;
            Ok((row.partition_id, PartitionUse { share, in_flight }))
        };
        rows.into_iter().map(of).collect()
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
                    tracing::debug!(%error, "cannot read the rates of pipes; a new job starts with the usual allowance");
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
            .all(db.work_reader(), sql, [(db.now() - SILENT_US).into()])
            .await?;
        Ok(rates.into_iter().map(|row| (row.pipe, row.rate)).collect())
    }

    /// Sets what jobs may send, in one transaction, and releases what that allows. Jobs that are gone are passed over, and those
    /// that cannot be read are set aside.
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
            if let Some(share) = by_key.get(&slice.job.meta.key) {
                slice.set_share(*share);
            }
            if slice.changed || slice.job.is_reopening() {
                db.advance(&tx, slice).await?;
            }
        }
        let committed = db.write_slices(&tx, slices).await?;
        tx.commit().await?;
        Ok(committed)
    }
}

impl HungryRow {
    fn job(self) -> HungryJob {
        HungryJob {
            job_key: self.job_key,
            partition_id: self.partition_id,
            allowance: self.allowance,
            in_flight: self.in_flight,
            delayed: self.delayed,
            items_per_message: self.items_per_message,
            priority: self.priority,
            max_in_flight: self.max_in_flight,
            ready: self.ready,
            endless: self.unfound > 0,
            reopening: self.carried > 0 && self.reopen > 0,
            tokens: u32::try_from(self.tokens).ok(),
        }
    }
}
