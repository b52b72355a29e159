//! Settings of partitions.

use headway_domain::{
    Error, PartitionId,
    events::{Caller, EventKind},
    jobs::Retention,
    partitions::PartitionShare,
};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Expr, ExprTrait, OnConflict, Order},
};

use crate::{
    db::{Db, Durability, Tx},
    deployment::unreadable::Sorted,
    error::StoreError,
    events::record::AuditEntry,
    partitions::{
        Partitions,
        entity::{ActiveModel, Column, Entity, Model},
        view::{PartitionPage, PartitionView},
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
