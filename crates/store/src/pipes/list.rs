//! Which pipes a partition's jobs have used, and what is on them.

use std::collections::BTreeMap;

use headway_domain::{PartitionId, reports::code};
use sea_orm::FromQueryResult;

use crate::{
    error::StoreError,
    pipes::{Pipes, rates::SILENT_US},
    slice::rows::progress::{IN_FLIGHT, LIVE},
};

/// A pipe as the jobs of a partition use it.
#[derive(Debug, Clone, PartialEq)]
pub struct PipeView {
    /// Its name.
    pub pipe: String,
    /// Items of all partitions that left it per second over the last seconds.
    pub rate: f64,
    /// Open items in it or at its workers.
    pub in_flight: u64,
    /// Open items set aside because their job is paused.
    pub parked: u64,
    /// Open items that wait for their next attempt.
    pub delayed: u64,
    /// Jobs on it that have not ended.
    pub jobs: u64,
    /// Items of present runs that the broker gave up.
    pub dead_letters: u64,
}

/// Some pipes and where the next ones begin.
#[derive(Debug, Clone)]
pub struct PipePage {
    /// By name.
    pub pipes: Vec<PipeView>,
    /// The name to continue after, if there may be more.
    pub next: Option<String>,
}

#[derive(Debug, FromQueryResult)]
struct PipeNameRow {
    name: String,
}

#[derive(Debug, FromQueryResult)]
struct LoadRow {
    pipe: String,
    jobs: i64,
    in_flight: i64,
    parked: i64,
    delayed: i64,
}

#[derive(Debug, FromQueryResult)]
struct ForwardedRow {
    at: String,
    home: String,
    paused: i64,
    items: i64,
    delayed: i64,
}

#[derive(Debug, FromQueryResult)]
struct DeadLettersRow {
    pipe: String,
    items: i64,
}

#[derive(Debug, FromQueryResult)]
struct Rate {
    pipe: String,
    rate: f64,
}

/// Numbers of a pipe in the making; corrections may pass below zero for a moment.
#[derive(Debug, Default)]
struct Sums {
    rate: f64,
    in_flight: i64,
    parked: i64,
    delayed: i64,
    jobs: i64,
    dead: i64,
}

impl Pipes<'_> {
    /// Lists the pipes that jobs of a partition have used, after a name, with what of the partition
    /// is on them.
    pub async fn list(
        self,
        partition: &PartitionId,
        above: &str,
        size: u32,
    ) -> Result<PipePage, StoreError> {
        let db = &self.store.db;
        let sql =
            "SELECT name FROM pipe WHERE partition_id = $1 AND name > $2 ORDER BY name LIMIT $3";
        let values = [
            partition.as_str().into(),
            above.into(),
            (i64::from(size) + 1).into(),
        ];
        let names: Vec<PipeNameRow> = db.all(db.reader(), sql, values).await?;
        let more = names.len() > size as usize;
        let names = names.into_iter().take(size as usize);
        let mut sums: BTreeMap<String, Sums> =
            names.map(|row| (row.name, Sums::default())).collect();
        if !sums.is_empty() {
            self.add_loads(partition, &mut sums).await?;
            self.add_rates(&mut sums).await?;
        }
        let next = sums.keys().next_back().filter(|_| more).cloned();
        let pipes = sums.into_iter().map(|(pipe, sums)| sums.view(pipe));
        Ok(PipePage {
            pipes: pipes.collect(),
            next,
        })
    }

    async fn add_loads(
        self,
        partition: &PartitionId,
        sums: &mut BTreeMap<String, Sums>,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let of_partition = || [partition.as_str().into()];
        let sql = format!(
            "SELECT p.pipe, CAST(SUM(CASE WHEN p.ended = 0 THEN 1 ELSE 0 END) AS BIGINT) AS jobs, \
             CAST(SUM({IN_FLIGHT}) AS BIGINT) AS in_flight, \
             CAST(SUM(p.parked) AS BIGINT) AS parked, CAST(SUM(p.delayed) AS BIGINT) AS delayed \
             FROM job_progress p WHERE p.partition_id = $1 AND p.live = {LIVE} GROUP BY p.pipe"
        );
        let loads: Vec<LoadRow> = db.all(db.reader(), sql, of_partition()).await?;
        for load in loads {
            if let Some(sums) = sums.get_mut(&load.pipe) {
                sums.jobs += load.jobs;
                sums.in_flight += load.in_flight;
                sums.parked += load.parked;
                sums.delayed += load.delayed;
            }
        }
        // A job counts its items at its own pipe; those that were forwarded are at another.
        let sql = format!(
            "SELECT i.pipe AS at, p.pipe AS home, p.paused + p.suspended AS paused, COUNT(*) AS items, \
                   CAST(SUM(CASE WHEN i.due > 0 THEN 1 ELSE 0 END) AS BIGINT) AS delayed \
                   FROM job_progress p JOIN item i ON i.job_key = p.job_key AND i.forwarded = 1 \
                   WHERE p.partition_id = $1 AND p.live = {LIVE} GROUP BY i.pipe, p.pipe, p.paused + p.suspended"
        );
        let forwarded: Vec<ForwardedRow> = db.all(db.reader(), sql, of_partition()).await?;
        for row in forwarded {
            for (pipe, sign) in [(&row.home, -1), (&row.at, 1)] {
                let Some(sums) = sums.get_mut(pipe) else {
                    continue;
                };
                sums.delayed += sign * row.delayed;
                // Of a paused job they are set aside, or will be as soon as a worker meets them.
                match row.paused {
                    0 => sums.in_flight += sign * (row.items - row.delayed),
                    _ => sums.parked += sign * (row.items - row.delayed),
                }
            }
        }
        let sql = format!(
            "SELECT p.pipe, COUNT(*) AS items FROM failure f JOIN job_progress p ON p.job_key = f.job_key AND p.run = f.run \
             WHERE f.code = '{}' AND p.partition_id = $1 GROUP BY p.pipe",
            code::DEAD_LETTERED
        );
        let dead: Vec<DeadLettersRow> = db.all(db.reader(), sql, of_partition()).await?;
        for row in dead {
            if let Some(sums) = sums.get_mut(&row.pipe) {
                sums.dead += row.items;
            }
        }
        Ok(())
    }

    async fn add_rates(self, sums: &mut BTreeMap<String, Sums>) -> Result<(), StoreError> {
        let db = &self.store.db;
        let sql = "SELECT pipe, SUM(rate) AS rate FROM pipe_rate WHERE updated >= $1 GROUP BY pipe";
        let since = db.now() - SILENT_US;
        let rates: Vec<Rate> = db.all(db.reader(), sql, [since.into()]).await?;
        for row in rates {
            if let Some(sums) = sums.get_mut(&row.pipe) {
                sums.rate = row.rate;
            }
        }
        Ok(())
    }
}

impl Sums {
    fn view(self, pipe: String) -> PipeView {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        PipeView {
            pipe,
            rate: self.rate,
            in_flight: count(self.in_flight),
            parked: count(self.parked),
            delayed: count(self.delayed),
            jobs: count(self.jobs),
            dead_letters: count(self.dead),
        }
    }
}
