//! Settings of partitions.

use std::collections::{BTreeMap, BTreeSet};

use headway_domain::{
    Error, PartitionId,
    events::{Caller, EventKind},
    jobs::Retention,
    partitions::PartitionShare,
};
use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Expr, ExprTrait, OnConflict, Order},
};

use crate::{
    db::{Db, Durability, Tx},
    deployment::{epoch::EPOCH_COLUMN, unreadable::Sorted},
    error::StoreError,
    events::record::AuditEntry,
    partitions::{
        Partitions,
        entity::{ActiveModel, Column, Entity, Model},
        view::{PartitionPage, PartitionView, read_retention, share},
    },
};

impl Partitions<'_> {
    /// Reads a partition. Every partition exists.
    pub async fn get(self, partition: &PartitionId) -> Result<PartitionView, StoreError> {
        let db = &self.store.db;
        let row: Option<Model> = db
            .find_one(db.reader(), &Entity::find_by_id(partition.as_str()))
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
    pub async fn list_suspended(self, above: &str, size: u32) -> Result<PartitionPage, StoreError> {
        let db = &self.store.db;
        let id = Expr::cust(db.bytewise("partition_id"));
        let query = Entity::find()
            .filter(Column::Suspended.eq(1_i64))
            .filter(ExprTrait::gt(id.clone(), above))
            .order_by(id, Order::Asc)
            .limit(u64::from(size) + 1);
        let mut rows: Vec<Model> = db.find_all(db.reader(), &query).await?;
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let next = rows.last().filter(|_| more);
        let next = next.map(|row| row.partition_id.clone());
        let rows = rows.into_iter().map(|row| (row.partition_id.clone(), row));
        let sorted = Sorted::read(rows, Model::view)?;
        Ok(PartitionPage {
            partitions: sorted.readable,
            unreadable: sorted.unreadable,
            next,
        })
    }

    /// Says, durably, how long a partition's jobs are kept where they do not say it, which holds
    /// for jobs that are created later, and what the partition gets and may have.
    pub async fn update(
        self,
        partition: &PartitionId,
        retention: &Retention,
        share: &PartitionShare,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let text = serde_json::to_string(retention)
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let tx = db.write(Durability::Full).await?;
        if let Some(etag) = etag {
            db.check_partition_etag(&tx, partition, etag).await?;
        }
        let new = new_row(partition, text.clone(), share);
        let replace = OnConflict::column(Column::PartitionId)
            .update_columns([
                Column::Retention,
                Column::Weight,
                Column::OpenJobs,
                Column::InFlight,
            ])
            .to_owned();
        db.apply(&*tx, &Entity::insert(new).on_conflict(replace))
            .await?;
        let quota = |quota: Option<u32>| quota.unwrap_or(0);
        let message = format!(
            "weight {}, max_open_jobs {}, max_items_in_flight {}, retention {text}",
            share.weight,
            quota(share.open_jobs),
            quota(share.in_flight)
        );
        let change = AuditEntry::of_partition(EventKind::PartitionUpdated, partition, message);
        db.record(&tx, change, caller).await?;
        self.end(tx).await
    }
}

/// A row of a partition that had no settings.
fn new_row(partition: &PartitionId, retention: String, share: &PartitionShare) -> ActiveModel {
    ActiveModel {
        partition_id: Set(partition.to_string()),
        suspended: Set(0),
        changed_by: Set(String::new()),
        changed: Set(0),
        pending: Set(0),
        retention: Set(retention),
        weight: Set(share.weight.into()),
        open_jobs: Set(share.open_jobs.unwrap_or(0).into()),
        in_flight: Set(share.in_flight.unwrap_or(0).into()),
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
        let text = serde_json::to_string(&Retention::default())
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let new = new_row(partition, text, &PartitionShare::default());
        let insert = Entity::insert(new).on_conflict(OnConflict::new().do_nothing().to_owned());
        self.apply(&**tx, &insert).await?;
        let query = Entity::find_by_id(partition.as_str()).lock_exclusive();
        let row: Option<Model> = self.find_one(&**tx, &query).await?;
        let now = row.map(Model::view).transpose()?;
        match now.is_some_and(|now| now.etag() == etag) {
            true => Ok(()),
            false => Err(Error::EtagMismatch(format!("partition {partition}")).into()),
        }
    }
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

impl Partitions<'_> {
    /// What jobs that are about to be created take over from their partitions, by id, without
    /// partitions that have no settings; and the broker's epoch, in the same round trip.
    pub(crate) async fn defaults(
        self,
        partitions: BTreeSet<&str>,
    ) -> Result<(BTreeMap<String, PartitionDefaults>, i64), StoreError> {
        let db = &self.store.db;
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
}
