//! The limits of pipes.

use std::{sync::Arc, time::Instant};

use headway_domain::{Error, PartitionId, PipeName, etag::etag, events::Caller, pipes::PipeLimits};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Set,
    sea_query::{Expr, ExprTrait, OnConflict, Order},
};

use crate::{
    db::{Db, Durability, Tx},
    error::StoreError,
    events::record::AuditEntry,
    ground::{limited::Limited, numbers::unsigned},
    pipes::{
        Pipes,
        limit_entity::{ActiveModel, Column, Entity, Model},
    },
};

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

impl Pipes<'_> {
    /// The limits of a pipe; the default if none were set.
    pub async fn limits(self, pipe: &PipeName) -> Result<PipeLimits, StoreError> {
        let db = &self.store.db;
        let row: Option<Model> = db
            .find_one(db.reader(), &Entity::find_by_id(pipe.as_str()))
            .await?;
        row.map_or(Ok(PipeLimits::default()), |row| row.limits())
    }

    /// The pipes that have limits, by name.
    pub async fn all_limits(self) -> Result<Vec<PipeLimitView>, StoreError> {
        let db = &self.store.db;
        let query = Entity::find().order_by(Column::Pipe, Order::Asc);
        let rows: Vec<Model> = db.find_all(db.reader(), &query).await?;
        rows.into_iter().map(Model::view).collect()
    }

    /// Some of them, above a pipe, in the order of their names' bytes.
    pub async fn list_limits(
        self,
        above: &str,
        size: u32,
    ) -> Result<Vec<PipeLimitView>, StoreError> {
        let db = &self.store.db;
        let pipe = Expr::cust(db.bytewise("pipe"));
        let query = Entity::find()
            .filter(ExprTrait::gt(pipe.clone(), above))
            .order_by(pipe, Order::Asc)
            .limit(u64::from(size));
        let rows: Vec<Model> = db.find_all(db.reader(), &query).await?;
        rows.into_iter().map(Model::view).collect()
    }

    /// Says what a pipe takes, durably. It holds within about a second for what is sent from then
    /// on.
    pub async fn set_limits(
        self,
        pipe: &PipeName,
        limits: &PipeLimits,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        if let Some(etag) = etag {
            db.check_limits_etag(&tx, pipe, etag).await?;
        }
        if limits.is_unlimited() {
            let delete = Entity::delete_many().filter(Column::Pipe.eq(pipe.as_str()));
            db.apply(&*tx, &delete).await?;
        } else {
            let new = ActiveModel {
                pipe: Set(pipe.to_string()),
                in_flight: Set(limits.in_flight.unwrap_or(0).into()),
                per_second: Set(limits.per_second.unwrap_or(0.0)),
            };
            let replace = OnConflict::column(Column::Pipe)
                .update_columns([Column::InFlight, Column::PerSecond])
                .to_owned();
            db.apply(&*tx, &Entity::insert(new).on_conflict(replace))
                .await?;
        }
        let message = format!(
            "max_in_flight {}, max_per_second {}",
            limits.in_flight.unwrap_or(0),
            limits.per_second.unwrap_or(0.0)
        );
        let deployment = PartitionId::of_deployment();
        let change = AuditEntry::of_pipe(pipe.as_str(), message, &deployment);
        db.record(&tx, change, caller).await?;
        self.end(tx).await
    }
}

impl Db {
    /// Locks a pipe's limits, and refuses if they have not the etag that is named.
    async fn check_limits_etag(
        &self,
        tx: &Tx<'_>,
        pipe: &PipeName,
        etag: &str,
    ) -> Result<(), StoreError> {
        // A row that is missing cannot be locked. One without limits does not outlive the
        // transaction.
        let new = ActiveModel {
            pipe: Set(pipe.to_string()),
            in_flight: Set(0),
            per_second: Set(0.0),
        };
        let insert = Entity::insert(new).on_conflict(OnConflict::new().do_nothing().to_owned());
        self.apply(&**tx, &insert).await?;
        let query = Entity::find_by_id(pipe.as_str()).lock_exclusive();
        let row: Option<Model> = self.find_one(&**tx, &query).await?;
        let now = row.map(Model::view).transpose()?;
        match now.is_some_and(|now| now.etag() == etag) {
            true => Ok(()),
            false => Err(Error::EtagMismatch(format!("the limits of pipe {pipe}")).into()),
        }
    }
}

impl Model {
    fn view(self) -> Result<PipeLimitView, StoreError> {
        Ok(PipeLimitView {
            limits: self.limits()?,
            pipe: PipeName::try_from(self.pipe)?,
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

#[derive(Debug, FromQueryResult)]
struct LimitedRow {
    is_pipe: i32,
    name: String,
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
        let rows: Vec<LimitedRow> = self.all(on, sql, []).await?;
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
}
