//! The limits of pipes, and the quotas of partitions that new jobs are held to.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use headway_domain::{
    Error, PartitionId, PipeName,
    bulk::JOBS,
    error::Quota,
    etag::etag,
    event::Caller,
    share::{PartitionShare, PipeLimits},
};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{changes::Change, create::NewJob, partitions::PartitionDefaults};
use crate::{
    Store,
    db::{Db, Durability, Tx},
    error::StoreError,
    rows::unsigned,
};

/// How long it is remembered which pipes have limits.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The pipes that have limits, and the partitions that may have so many items in flight only.
#[derive(Debug, Default)]
pub(crate) struct Limited {
    pipes: HashSet<String>,
    partitions: HashSet<String>,
}

impl Limited {
    /// Whether nothing of a job is sent before it was shared out.
    pub(crate) fn rations(&self, partition: &PartitionId, pipe: &PipeName) -> bool {
        let pipe = pipe.as_str();
        self.pipes.contains(pipe) || (pipe != JOBS && self.partitions.contains(partition.as_str()))
    }
}

/// What is limited, as of some moment.
#[derive(Debug, Default)]
pub(crate) struct KnownLimits(Mutex<Option<Known>>);

type Known = (Instant, Arc<Limited>);

impl KnownLimits {
    /// Those that are remembered, unless they are to be read again: by whoever asks first; others go on with what was.
    fn known(&self) -> Option<Arc<Limited>> {
        let mut known = self.lock();
        let (when, limited) = known.as_mut()?;
        if when.elapsed() < KNOWN_FOR {
            return Some(limited.clone());
        }
        *when = Instant::now();
        None
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pipe that has limits.
#[derive(Debug, Clone, PartialEq)]
pub struct PipeLimitView {
    /// The pipe.
    pub pipe: PipeName,
    /// Its limits.
    pub limits: PipeLimits,
}

impl PipeLimitView {
    /// Identifies the limits.
    pub fn etag(&self) -> String {
        let in_flight = self.limits.in_flight.unwrap_or(0).to_be_bytes();
        let per_second = self.limits.per_second.unwrap_or(0.0).to_be_bytes();
        etag([in_flight.as_slice(), &per_second])
    }
}

#[derive(Debug, FromQueryResult)]
struct LimitRow {
    pipe: String,
    in_flight: i64,
    per_second: f64,
}

#[derive(Debug, FromQueryResult)]
struct NameRow {
    is_pipe: i32,
    name: String,
}

/// What new jobs are held to, by partition: its quotas, and how many jobs it is about to get.
pub(crate) struct Quotas(BTreeMap<PartitionId, (PartitionShare, u32)>);

impl Quotas {
    pub(crate) fn of(jobs: &[NewJob], defaults: &BTreeMap<String, PartitionDefaults>) -> Self {
        let mut quotas = BTreeMap::new();
        for job in jobs.iter().filter(|job| !job.spec.is_of_jobs()) {
            let partition = &job.name.partition;
            let share = defaults.get(partition.as_str()).map(|of| of.share);
            let limited = share.filter(|of| of.open_jobs.is_some() || of.in_flight.is_some());
            if let Some(share) = limited {
                quotas.entry(partition.clone()).or_insert((share, 0)).1 += 1;
            }
        }
        Self(quotas)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Db {
    /// What is limited, as it was a second ago at most.
    pub(crate) async fn limited(
        &self,
        on: &impl ConnectionTrait,
    ) -> Result<Arc<Limited>, StoreError> {
        if let Some(limited) = self.known_limits.known() {
            return Ok(limited);
        }
        let sql = "SELECT 1 AS is_pipe, pipe AS name FROM pipe_limit \
                   UNION ALL SELECT 0 AS is_pipe, partition_id AS name FROM partition_setting WHERE in_flight > 0";
        let rows: Vec<NameRow> = self.all(on, sql, []).await?;
        let mut limited = Limited::default();
        for row in rows {
            match row.is_pipe {
                0 => limited.partitions.insert(row.name),
                _ => limited.pipes.insert(row.name),
            };
        }
        let limited = Arc::new(limited);
        *self.known_limits.lock() = Some((Instant::now(), limited.clone()));
        Ok(limited)
    }

    /// Refuses jobs that would be more than their partitions may have. Creations of a partition with quotas take turns.
    pub(crate) async fn hold_to(&self, tx: &Tx<'_>, quotas: &Quotas) -> Result<(), StoreError> {
        for (partition, (share, new)) in &quotas.0 {
            let turn = format!(
                "SELECT weight AS value FROM partition_setting WHERE partition_id = $1{}",
                self.for_update()
            );
            self.one_int(&**tx, turn, [partition.as_str().into()])
                .await?;
            let refused = |quota, limit| Error::QuotaExceeded {
                partition: partition.clone(),
                quota,
                limit,
            };
            if let Some(most) = share.open_jobs {
                let room = i64::from(most) - i64::from(*new);
                if self.open_jobs(tx, partition, room + 1).await? > room {
                    return Err(refused(Quota::OpenJobs, most).into());
                }
            }
            if let Some(most) = share.in_flight
                && self.in_flight(&**tx, partition).await? >= i64::from(most)
            {
                return Err(refused(Quota::InFlight, most).into());
            }
        }
        Ok(())
    }

    /// Jobs of a partition that have not ended, counted up to a limit.
    async fn open_jobs(
        &self,
        tx: &Tx<'_>,
        partition: &PartitionId,
        most: i64,
    ) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) AS value FROM ( \
                     SELECT job_key FROM job_progress WHERE partition_id = $1 AND state IN (1, 2, 3) LIMIT $2 \
                   ) AS open";
        let values = [partition.as_str().into(), most.max(0).into()];
        Ok(self.one_int(&**tx, sql, values).await?.unwrap_or(0))
    }

    /// Locks a pipe's limits, and refuses if they have not the etag that is named.
    async fn check_limits_etag(
        &self,
        tx: &Tx<'_>,
        pipe: &PipeName,
        etag: &str,
    ) -> Result<(), StoreError> {
        // A row that is missing cannot be locked. One without limits does not outlive the transaction.
        let sql = "INSERT INTO pipe_limit (pipe, in_flight, per_second) VALUES ($1, 0, 0) ON CONFLICT (pipe) DO NOTHING";
        self.run(&**tx, sql, [pipe.as_str().into()]).await?;
        let sql = format!(
            "SELECT pipe, in_flight, per_second FROM pipe_limit WHERE pipe = $1{}",
            self.for_update()
        );
        let row: Option<LimitRow> = self.one(&**tx, sql, [pipe.as_str().into()]).await?;
        let now = row.map(LimitRow::view).transpose()?;
        match now.is_some_and(|now| now.etag() == etag) {
            true => Ok(()),
            false => Err(Error::EtagMismatch(format!("the limits of pipe {pipe}")).into()),
        }
    }

    async fn in_flight(
        &self,
        on: &impl ConnectionTrait,
        partition: &PartitionId,
    ) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(known - done - failed - discarded - unreleased - parked - delayed), 0) AS BIGINT) AS value \
                   FROM job_progress WHERE partition_id = $1 AND live = 1 AND pipe <> '{JOBS}'"
        );
        let sum = self.one_int(on, sql, [partition.as_str().into()]);
        Ok(sum.await?.unwrap_or(0))
    }
}

impl Store {
    /// The limits of a pipe; none if nothing was said.
    pub async fn pipe_limits(&self, pipe: &PipeName) -> Result<PipeLimits, StoreError> {
        let sql = "SELECT pipe, in_flight, per_second FROM pipe_limit WHERE pipe = $1";
        let db = &self.db;
        let row: Option<LimitRow> = db.one(db.reader(), sql, [pipe.as_str().into()]).await?;
        row.map_or(Ok(PipeLimits::default()), |row| row.limits())
    }

    /// Items of a partition's jobs in pipes and at workers.
    pub(crate) async fn items_in_flight(&self, partition: &PartitionId) -> Result<u64, StoreError> {
        let db = &self.db;
        unsigned(db.in_flight(db.reader(), partition).await?)
    }

    /// The pipes that have limits, by name.
    pub async fn limits_of_pipes(&self) -> Result<Vec<PipeLimitView>, StoreError> {
        let sql = "SELECT pipe, in_flight, per_second FROM pipe_limit ORDER BY pipe";
        let rows: Vec<LimitRow> = self.db.all(self.db.reader(), sql, []).await?;
        rows.into_iter().map(LimitRow::view).collect()
    }

    /// Some of them, above a pipe, in the order of their names' bytes.
    pub async fn limits_of_pipes_above(
        &self,
        above: &str,
        size: u32,
    ) -> Result<Vec<PipeLimitView>, StoreError> {
        let pipe = self.db.bytewise("pipe");
        let sql = format!(
            "SELECT pipe, in_flight, per_second FROM pipe_limit WHERE {pipe} > $1 ORDER BY {pipe} LIMIT $2"
        );
        let values = [above.into(), i64::from(size).into()];
        let rows: Vec<LimitRow> = self.db.all(self.db.reader(), sql, values).await?;
        rows.into_iter().map(LimitRow::view).collect()
    }

    /// Says what a pipe takes, durably. It holds within about a second for what is sent from then on.
    pub async fn set_pipe_limits(
        &self,
        pipe: &PipeName,
        limits: &PipeLimits,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        if let Some(etag) = etag {
            db.check_limits_etag(&tx, pipe, etag).await?;
        }
        if limits.is_unlimited() {
            let sql = "DELETE FROM pipe_limit WHERE pipe = $1";
            db.run(&*tx, sql, [pipe.as_str().into()]).await?;
        } else {
            let sql = "INSERT INTO pipe_limit (pipe, in_flight, per_second) VALUES ($1, $2, $3) ON CONFLICT (pipe) DO UPDATE SET \
                       in_flight = excluded.in_flight, per_second = excluded.per_second";
            let values = [
                pipe.as_str().into(),
                i64::from(limits.in_flight.unwrap_or(0)).into(),
                limits.per_second.unwrap_or(0.0).into(),
            ];
            db.run(&*tx, sql, values).await?;
        }
        let message = format!(
            "max_in_flight {}, max_per_second {}",
            limits.in_flight.unwrap_or(0),
            limits.per_second.unwrap_or(0.0)
        );
        let deployment = PartitionId::of_deployment();
        let change = Change::of_pipe(pipe.as_str(), message, &deployment);
        db.record(&tx, change, caller).await?;
        tx.commit().await
    }
}

impl LimitRow {
    fn view(self) -> Result<PipeLimitView, StoreError> {
        Ok(PipeLimitView {
            limits: self.limits()?,
            pipe: PipeName::new(self.pipe)?,
        })
    }

    /// 0 is no limit.
    fn limits(&self) -> Result<PipeLimits, StoreError> {
        let in_flight: u32 = unsigned(self.in_flight)?;
        Ok(PipeLimits {
            in_flight: Some(in_flight).filter(|limit| *limit > 0),
            per_second: Some(self.per_second).filter(|limit| *limit > 0.0),
        })
    }
}
