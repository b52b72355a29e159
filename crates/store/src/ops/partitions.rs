//! Suspending partitions: a setting of the partition, and a flag in each of its jobs that has not ended, which a walk sets and
//! takes away. Jobs that are created meanwhile are caught by the next walk.

use std::collections::{BTreeMap, BTreeSet};

use headway_domain::{
    Error, Micros, PartitionId,
    bulk::JOBS,
    etag::etag,
    event::{Caller, EventKind},
    retention::Retention,
    share::PartitionShare,
};
use sea_orm::FromQueryResult;

use super::{changes::Change, epoch::EPOCH_COLUMN, unreadable::Sorted, work::Locking};
use crate::{
    Committed, Store,
    db::{Db, Durability, Tx},
    error::StoreError,
    rows::unsigned,
};

/// Jobs changed by one transaction.
const WALK: i64 = 200;
const SETTING_COLUMNS: &str =
    "partition_id, suspended, changed_by, changed, retention, weight, open_jobs, in_flight";

/// A partition as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Its id.
    pub partition: PartitionId,
    /// Set if it is suspended.
    pub suspension: Option<Suspension>,
    /// How long its jobs are kept where they do not say it.
    pub retention: Retention,
    /// Its weight and quotas.
    pub share: PartitionShare,
}

impl PartitionView {
    /// Identifies its settings; suspending changes none.
    pub fn etag(&self) -> String {
        let retention = serde_json::to_vec(&self.retention).unwrap_or_default();
        let quota = |quota: Option<u32>| quota.unwrap_or(0).to_be_bytes();
        etag([
            retention.as_slice(),
            &self.share.weight.to_be_bytes(),
            &quota(self.share.open_jobs),
            &quota(self.share.in_flight),
        ])
    }
}

/// Since when a partition is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Who said so; may be empty.
    pub by: String,
    /// When.
    pub since: Micros,
}

/// Some partitions and where the next ones begin.
#[derive(Debug, Clone)]
pub struct PartitionPage {
    /// In the order of their ids' bytes.
    pub partitions: Vec<PartitionView>,
    /// The ids of partitions of this page that this version cannot read.
    pub unreadable: Vec<String>,
    /// The id to continue above, if there may be more.
    pub next: Option<String>,
}

#[derive(Debug, FromQueryResult)]
struct SettingRow {
    partition_id: String,
    suspended: i64,
    changed_by: String,
    changed: i64,
    retention: String,
    weight: i64,
    open_jobs: i64,
    in_flight: i64,
}

#[derive(Debug, FromQueryResult)]
struct DefaultRow {
    partition_id: String,
    suspended: i64,
    retention: String,
    weight: i64,
    open_jobs: i64,
    in_flight: i64,
}

/// What new jobs of a partition take over.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionDefaults {
    /// Whether it is suspended.
    pub suspended: bool,
    /// How long its jobs are kept where they do not say it.
    pub retention: Retention,
    /// Its quotas.
    pub share: PartitionShare,
}

#[derive(Debug, FromQueryResult)]
struct NameRow {
    partition_id: String,
}

impl Store {
    /// Reads a partition. Every partition exists.
    pub async fn partition(&self, partition: &PartitionId) -> Result<PartitionView, StoreError> {
        let sql =
            format!("SELECT {SETTING_COLUMNS} FROM partition_setting WHERE partition_id = $1");
        let row: Option<SettingRow> = self
            .db
            .one(self.db.reader(), sql, [partition.as_str().into()])
            .await?;
        match row {
            Some(row) => row.view(),
            None => Ok(PartitionView {
                partition: partition.clone(),
                suspension: None,
                retention: Retention::default(),
                share: PartitionShare::default(),
            }),
        }
    }

    /// Some of the partitions that are suspended, above one, in the order of their ids' bytes.
    pub async fn suspended_partitions(
        &self,
        above: &str,
        size: u32,
    ) -> Result<PartitionPage, StoreError> {
        let id = self.db.bytewise("partition_id");
        let sql = format!(
            "SELECT {SETTING_COLUMNS} FROM partition_setting WHERE suspended = 1 AND {id} > $1 ORDER BY {id} LIMIT $2"
        );
        let values = [above.into(), (i64::from(size) + 1).into()];
        let mut rows: Vec<SettingRow> = self.db.all(self.db.reader(), sql, values).await?;
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let next = rows.last().filter(|_| more);
        let next = next.map(|row| row.partition_id.clone());
        let rows = rows.into_iter().map(|row| (row.partition_id.clone(), row));
        let sorted = Sorted::read(rows, SettingRow::view)?;
        Ok(PartitionPage {
            partitions: sorted.readable,
            unreadable: sorted.unreadable,
            next,
        })
    }

    /// What jobs that are about to be created take over from their partitions, by id, without partitions that have no
    /// settings; and the broker's epoch, in the same round trip.
    pub(crate) async fn partition_defaults(
        &self,
        partitions: BTreeSet<&str>,
    ) -> Result<(BTreeMap<String, PartitionDefaults>, i64), StoreError> {
        let db = &self.db;
        let list = serde_json::to_string(&partitions).unwrap_or_default();
        let sql = format!(
            "SELECT present.epoch_setting, s.* FROM (SELECT {EPOCH_COLUMN}) AS present LEFT JOIN ( \
               SELECT partition_id, suspended, retention, weight, open_jobs, in_flight FROM partition_setting \
               WHERE partition_id IN ({})) AS s ON TRUE",
            db.texts(1)
        );
        let found = db.rows(db.work_reader(), sql, [list.into()]).await?;
        let epoch = db.epoch_of(found.first())?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            // Without any settings the only row has the epoch alone.
            if row.try_get::<Option<String>>("", "partition_id")?.is_some() {
                rows.push(DefaultRow::from_query_result(row, "")?);
            }
        }
        let read = |row: DefaultRow| {
            let defaults = PartitionDefaults {
                suspended: row.suspended != 0,
                retention: read_retention(&row.retention)?,
                share: share(row.weight, row.open_jobs, row.in_flight)?,
            };
            Ok((row.partition_id, defaults))
        };
        let defaults: Result<_, StoreError> = rows.into_iter().map(read).collect();
        Ok((defaults?, epoch))
    }

    /// Says, durably, how long a partition's jobs are kept where they do not say it, which holds for jobs that are created later, and
    /// what the partition gets and may have.
    pub async fn set_partition(
        &self,
        partition: &PartitionId,
        retention: &Retention,
        share: &PartitionShare,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let text = serde_json::to_string(retention)
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let tx = db.write(Durability::Full).await?;
        if let Some(etag) = etag {
            db.check_partition_etag(&tx, partition, etag).await?;
        }
        let sql = "INSERT INTO partition_setting \
                   (partition_id, suspended, changed_by, changed, pending, retention, weight, open_jobs, in_flight) \
                   VALUES ($1, 0, '', 0, 0, $2, $3, $4, $5) ON CONFLICT (partition_id) DO UPDATE SET retention = excluded.retention, \
                   weight = excluded.weight, open_jobs = excluded.open_jobs, in_flight = excluded.in_flight";
        let values = [
            partition.as_str().into(),
            text.as_str().into(),
            i64::from(share.weight).into(),
            i64::from(share.open_jobs.unwrap_or(0)).into(),
            i64::from(share.in_flight.unwrap_or(0)).into(),
        ];
        db.run(&*tx, sql, values).await?;
        let quota = |quota: Option<u32>| quota.unwrap_or(0);
        let message = format!(
            "weight {}, max_open_jobs {}, max_items_in_flight {}, retention {text}",
            share.weight,
            quota(share.open_jobs),
            quota(share.in_flight)
        );
        let change = Change::of_partition(EventKind::PartitionUpdated, partition, message);
        db.record(&tx, change, caller).await?;
        tx.commit().await
    }

    /// Suspends a partition or lets it go on, durably. What that means for its jobs is for [`Store::walk_partition`].
    pub async fn set_suspended(
        &self,
        partition: &PartitionId,
        suspended: bool,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let sql = "INSERT INTO partition_setting (partition_id, suspended, changed_by, changed, pending) VALUES ($1, $2, $3, $4, 1) \
                   ON CONFLICT (partition_id) DO UPDATE SET suspended = excluded.suspended, changed_by = excluded.changed_by, \
                   changed = excluded.changed, pending = 1 WHERE partition_setting.suspended <> excluded.suspended";
        let values = [
            partition.as_str().into(),
            i64::from(suspended).into(),
            caller.user.as_str().into(),
            db.now().into(),
        ];
        if db.run(&*tx, sql, values).await? > 0 {
            let kind = match suspended {
                true => EventKind::PartitionSuspended,
                false => EventKind::PartitionResumed,
            };
            let change = Change::of_partition(kind, partition, String::new());
            db.record(&tx, change, caller).await?;
        }
        tx.commit().await
    }

    /// Lets some jobs of a partition follow its setting, above a key; the key to go on above, unless that was all.
    pub async fn walk_partition(
        &self,
        partition: &PartitionId,
        after: i64,
    ) -> Result<(Committed, Option<i64>), StoreError> {
        let db = &self.db;
        let suspended = self.partition(partition).await?.suspension.is_some();
        let sql = match suspended {
            true => {
                "SELECT value FROM ( \
                   SELECT job_key AS value FROM job_progress WHERE partition_id = $1 AND state = 1 AND suspended = 0 AND job_key > $2 \
                   UNION ALL SELECT job_key FROM job_progress WHERE partition_id = $1 AND state = 2 AND suspended = 0 AND job_key > $2 \
                   UNION ALL SELECT job_key FROM job_progress WHERE partition_id = $1 AND state = 3 AND suspended = 0 AND job_key > $2 \
                 ) AS open ORDER BY value LIMIT $3"
            }
            false => {
                "SELECT job_key AS value FROM job_progress WHERE partition_id = $1 AND suspended = 1 AND job_key > $2 \
                 ORDER BY job_key LIMIT $3"
            }
        };
        let values = [partition.as_str().into(), after.into(), WALK.into()];
        let keys = self.keys(sql, values).await?;
        let next = keys.last().copied().filter(|_| keys.len() as i64 == WALK);
        let committed = self.set_aside_unreadable(&keys, |keys| {
            let store = self.clone();
            async move { store.suspend_jobs(&keys, suspended).await }
        });
        let committed = committed.await?;
        if next.is_none() {
            let sql = "UPDATE partition_setting SET pending = 0 WHERE partition_id = $1 AND suspended = $2";
            let values = [partition.as_str().into(), i64::from(suspended).into()];
            db.run_alone(sql, values).await?;
        }
        Ok((committed, next))
    }

    async fn suspend_jobs(&self, keys: &[i64], suspended: bool) -> Result<Committed, StoreError> {
        let db = &self.db;
        let metas = self.metas_by_key(keys).await?;
        if metas.is_empty() {
            return Ok(Committed::default());
        }
        let tx = db.write(Durability::Full).await?;
        let mut slices = db.lock_jobs(&tx, &metas, Locking::Wait).await?;
        for slice in &mut slices {
            match suspended {
                true => slice.suspend(),
                false => slice.unsuspend(),
            }
            if slice.changed {
                db.advance(&tx, slice).await?;
            }
        }
        let committed = db.write_slices(&tx, slices).await?;
        tx.commit().await?;
        Ok(committed)
    }

    /// Partitions whose jobs do not all follow their setting: a walk did not end, or jobs were created or retried while the
    /// setting changed.
    pub async fn partitions_to_walk(&self) -> Result<Vec<PartitionId>, StoreError> {
        let readable = self.db.job_not_set_aside("p.job_key", 1);
        let sql = format!(
            "SELECT partition_id FROM partition_setting WHERE pending = 1 \
                   UNION SELECT s.partition_id FROM partition_setting s WHERE s.suspended = 1 AND EXISTS ( \
                     SELECT 1 FROM job_progress p WHERE p.partition_id = s.partition_id AND p.live = 1 AND p.ended = 0 AND p.suspended = 0 AND p.pipe <> '{JOBS}' \
                       AND {readable}) \
                   UNION SELECT s.partition_id FROM partition_setting s WHERE s.suspended = 0 AND EXISTS ( \
                     SELECT 1 FROM job_progress p WHERE p.partition_id = s.partition_id AND p.suspended = 1 AND {readable})"
        );
        let now = self.db.now();
        let rows: Vec<NameRow> = self
            .db
            .all(self.db.work_reader(), sql, [now.into()])
            .await?;
        rows.into_iter()
            .map(|row| Ok(PartitionId::new(row.partition_id)?))
            .collect()
    }
}

impl Db {
    /// Whether a partition is suspended, asked on the connection of a transaction: a second one may not be free.
    pub(crate) async fn is_suspended(
        &self,
        tx: &Tx<'_>,
        partition: &PartitionId,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) AS value FROM partition_setting WHERE partition_id = $1 AND suspended = 1";
        let count = self
            .one_int(&**tx, sql, [partition.as_str().into()])
            .await?;
        Ok(count.unwrap_or(0) > 0)
    }
}

impl Db {
    /// Locks a partition's settings, and refuses if they have not the etag that is named.
    async fn check_partition_etag(
        &self,
        tx: &Tx<'_>,
        partition: &PartitionId,
        etag: &str,
    ) -> Result<(), StoreError> {
        // A row that is missing cannot be locked.
        let sql = "INSERT INTO partition_setting \
                   (partition_id, suspended, changed_by, changed, pending, retention, weight, open_jobs, in_flight) \
                   VALUES ($1, 0, '', 0, 0, $2, $3, 0, 0) ON CONFLICT (partition_id) DO NOTHING";
        let text = serde_json::to_string(&Retention::default())
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let weight = PartitionShare::default().weight;
        let values = [
            partition.as_str().into(),
            text.into(),
            i64::from(weight).into(),
        ];
        self.run(&**tx, sql, values).await?;
        let sql = format!(
            "SELECT {SETTING_COLUMNS} FROM partition_setting WHERE partition_id = $1{}",
            self.for_update()
        );
        let values = [partition.as_str().into()];
        let row: Option<SettingRow> = self.one(&**tx, sql, values).await?;
        let now = row.map(SettingRow::view).transpose()?;
        match now.is_some_and(|now| now.etag() == etag) {
            true => Ok(()),
            false => Err(Error::EtagMismatch(format!("partition {partition}")).into()),
        }
    }
}

/// Weight and quotas as they are stored: 0 is no quota.
fn share(weight: i64, open_jobs: i64, in_flight: i64) -> Result<PartitionShare, StoreError> {
    let quota =
        |stored: i64| unsigned(stored).map(|quota: u32| Some(quota).filter(|quota| *quota > 0));
    Ok(PartitionShare {
        weight: unsigned(weight)?,
        open_jobs: quota(open_jobs)?,
        in_flight: quota(in_flight)?,
    })
}

fn read_retention(text: &str) -> Result<Retention, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Broken(format!("retention of a partition: {error}")))
}

impl SettingRow {
    fn view(self) -> Result<PartitionView, StoreError> {
        Ok(PartitionView {
            partition: PartitionId::new(self.partition_id.as_str())?,
            retention: read_retention(&self.retention)?,
            share: share(self.weight, self.open_jobs, self.in_flight)?,
            suspension: self.suspension(),
        })
    }

    fn suspension(self) -> Option<Suspension> {
        (self.suspended != 0).then_some(Suspension {
            by: self.changed_by,
            since: self.changed,
        })
    }
}
