//! Suspending partitions: a setting of the partition, and a flag in each of its jobs that has not
//! ended, which a walk sets and takes away. Jobs that are created meanwhile are caught by the next
//! walk.

use headway_domain::{
    JobState, PartitionId,
    events::{Caller, EventKind},
    jobs::bulk::JOBS,
};
use sea_orm::{
    EntityTrait, FromQueryResult, Set,
    sea_query::{Expr, OnConflict},
};

use crate::{
    db::{Db, Durability, Tx},
    error::StoreError,
    events::record::AuditEntry,
    ground::{codes::Code, committed::Committed},
    partitions::{
        Partitions,
        entity::{ActiveModel, Column, Entity},
    },
    slice::{
        load::Locking,
        rows::progress::{LIVE, OPEN_STATES},
    },
    store::Store,
};

/// Jobs changed by one transaction.
const MAX_JOBS_PER_WALK: i64 = 200;

#[derive(Debug, FromQueryResult)]
struct PartitionIdRow {
    partition_id: String,
}

impl Partitions<'_> {
    /// Suspends a partition or lets it go on, durably. What that means for its jobs is for
    /// [`Store::walk_partition`].
    pub async fn set_suspended(
        self,
        partition: &PartitionId,
        suspended: bool,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        let new = ActiveModel {
            partition_id: Set(partition.to_string()),
            suspended: Set(suspended.into()),
            changed_by: Set(caller.user.clone()),
            changed: Set(db.now()),
            pending: Set(1),
            ..ActiveModel::default()
        };
        let other = Expr::cust("partition_setting.suspended <> excluded.suspended");
        let change = OnConflict::column(Column::PartitionId)
            .update_columns([
                Column::Suspended,
                Column::ChangedBy,
                Column::Changed,
                Column::Pending,
            ])
            .action_and_where(other)
            .to_owned();
        let insert = Entity::insert(new).on_conflict(change);
        if db.apply(&*tx, &insert).await? > 0 {
            let kind = match suspended {
                true => EventKind::PartitionSuspended,
                false => EventKind::PartitionResumed,
            };
            let change = AuditEntry::of_partition(kind, partition, String::new());
            db.record(&tx, change, caller).await?;
        }
        tx.commit().await
    }
}

impl Store {
    /// Suspends or resumes some jobs of a partition, as its setting says, in the order of their
    /// keys and above `after`. Returns the key to continue above, if there may be more.
    pub async fn walk_partition(
        &self,
        partition: &PartitionId,
        after: i64,
    ) -> Result<(Committed, Option<i64>), StoreError> {
        let db = &self.db;
        let suspended = self.partitions().get(partition).await?.suspension.is_some();
        let sql = match suspended {
            true => {
                let of_state = |state: JobState| {
                    format!(
                        "SELECT job_key AS value FROM job_progress WHERE partition_id = $1 AND state = {} AND suspended = 0 AND job_key > $2",
                        state.code()
                    )
                };
                let open = OPEN_STATES.map(of_state).join(" UNION ALL ");
                format!("SELECT value FROM ({open}) AS open ORDER BY value LIMIT $3")
            }
            false => {
                "SELECT job_key AS value FROM job_progress WHERE partition_id = $1 AND suspended = 1 AND job_key > $2 \
                 ORDER BY job_key LIMIT $3"
                    .to_owned()
            }
        };
        let values = [
            partition.as_str().into(),
            after.into(),
            MAX_JOBS_PER_WALK.into(),
        ];
        let keys = self.keys(&sql, values).await?;
        let next = keys
            .last()
            .copied()
            .filter(|_| keys.len() as i64 == MAX_JOBS_PER_WALK);
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
            if slice.has_changed() {
                db.advance(&tx, slice).await?;
            }
        }
        let committed = db.write_slices(&tx, slices).await?;
        tx.commit().await?;
        Ok(committed)
    }
}

impl Partitions<'_> {
    /// Partitions whose jobs do not all follow their setting: a walk did not end, or jobs were
    /// created or retried while the setting changed.
    pub async fn to_walk(self) -> Result<Vec<PartitionId>, StoreError> {
        let db = &self.store.db;
        let readable = db.job_not_set_aside("p.job_key", 1);
        let sql = format!(
            "SELECT partition_id FROM partition_setting WHERE pending = 1 \
                   UNION SELECT s.partition_id FROM partition_setting s WHERE s.suspended = 1 AND EXISTS ( \
                     SELECT 1 FROM job_progress p WHERE p.partition_id = s.partition_id AND p.live = {LIVE} AND p.ended = 0 AND p.suspended = 0 AND p.pipe <> '{JOBS}' \
                       AND {readable}) \
                   UNION SELECT s.partition_id FROM partition_setting s WHERE s.suspended = 0 AND EXISTS ( \
                     SELECT 1 FROM job_progress p WHERE p.partition_id = s.partition_id AND p.suspended = 1 AND {readable})"
        );
        let now = db.now();
        let rows: Vec<PartitionIdRow> = db.all(db.work_reader(), sql, [now.into()]).await?;
        rows.into_iter()
            .map(|row| Ok(PartitionId::new(row.partition_id)?))
            .collect()
    }
}

impl Db {
    /// Whether a partition is suspended, asked on the connection of a transaction: a second one may
    /// not be free.
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
