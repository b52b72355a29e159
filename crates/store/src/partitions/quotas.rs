//! The quotas of partitions, and what of them is used.

use std::collections::BTreeMap;

use headway_domain::{
    Error, PartitionId,
    jobs::bulk::JOBS,
    partitions::{PartitionShare, Quota},
};
use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::{
    db::{Db, Tx},
    error::StoreError,
    ground::{codes::Code, numbers::unsigned},
    jobs::create::new_job::NewJob,
    partitions::{Partitions, defaults::Defaults},
    slice::rows::progress::{IN_FLIGHT, LIVE, OPEN_STATES},
};

/// A partition that does not share pipes as most do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionUse {
    /// Its weight and quotas.
    pub share: PartitionShare,
    /// Its items in pipes and at workers, where those are limited.
    pub in_flight: u64,
}

#[derive(Debug, FromQueryResult)]
struct UseRow {
    partition_id: String,
    weight: i64,
    quota: i64,
    in_flight: i64,
}

impl Partitions<'_> {
    /// The partitions that have a weight or a quota of items in flight, by id.
    pub async fn uses(self) -> Result<BTreeMap<String, PartitionUse>, StoreError> {
        let db = &self.store.db;
        let sql = format!(
            "SELECT s.partition_id, s.weight, s.in_flight AS quota, CASE WHEN s.in_flight = 0 THEN 0 ELSE ( \
                     SELECT CAST(COALESCE(SUM({IN_FLIGHT}), 0) AS BIGINT) \
                     FROM job_progress p WHERE p.partition_id = s.partition_id AND p.live = {LIVE} AND p.pipe <> '{JOBS}') END AS in_flight \
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
}

/// What new jobs are held to, by partition: its quotas, and how many jobs it is about to get.
pub(crate) struct Quotas(BTreeMap<PartitionId, (PartitionShare, u32)>);

impl Quotas {
    pub(crate) fn of(jobs: &[NewJob], defaults: &Defaults) -> Self {
        let mut quotas = BTreeMap::new();
        for job in jobs.iter().filter(|job| !job.spec.is_bulk()) {
            let partition = &job.name.partition;
            let share = defaults.of(partition.as_str()).share;
            if share.open_jobs.is_some() || share.in_flight.is_some() {
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
    /// Refuses jobs that would be more than their partitions may have. Creations of a partition
    /// with quotas take turns.
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
        let states = OPEN_STATES.map(|state| state.code().to_string()).join(", ");
        let sql = format!(
            "SELECT count(*) AS value FROM ( \
               SELECT job_key FROM job_progress WHERE partition_id = $1 AND state IN ({states}) LIMIT $2 \
             ) AS open"
        );
        let values = [partition.as_str().into(), most.max(0).into()];
        Ok(self.one_int(&**tx, sql, values).await?.unwrap_or(0))
    }

    async fn in_flight(
        &self,
        on: &impl ConnectionTrait,
        partition: &PartitionId,
    ) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM({IN_FLIGHT}), 0) AS BIGINT) AS value \
             FROM job_progress p WHERE p.partition_id = $1 AND p.live = {LIVE} AND p.pipe <> '{JOBS}'"
        );
        let sum = self.one_int(on, sql, [partition.as_str().into()]);
        Ok(sum.await?.unwrap_or(0))
    }
}

impl Partitions<'_> {
    /// Items of a partition's jobs in pipes and at workers.
    pub(crate) async fn items_in_flight(self, partition: &PartitionId) -> Result<u64, StoreError> {
        let db = &self.store.db;
        unsigned(db.in_flight(db.reader(), partition).await?)
    }
}
