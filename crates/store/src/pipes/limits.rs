//! The limits of pipes.

use std::{sync::Arc, time::Instant};

use headway_domain::{PartitionId, PipeName, event::Caller, share::PipeLimits};
use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::{
    db::{Db, Durability},
    error::StoreError,
    events::record::AuditEntry,
    ground::{limited::Limited, numbers::unsigned},
    pipes::Pipes,
};

/// A pipe that has limits.
#[derive(Debug, Clone, PartialEq)]
pub struct PipeLimitView {
    /// The pipe.
    pub pipe: PipeName,
    /// Its limits.
    pub limits: PipeLimits,
}

#[derive(Debug, FromQueryResult)]
struct LimitRow {
    pipe: String,
    in_flight: i64,
    per_second: f64,
}

impl Pipes<'_> {
    /// The limits of a pipe; the default if none were set.
    pub async fn limits(self, pipe: &PipeName) -> Result<PipeLimits, StoreError> {
        let sql = "SELECT pipe, in_flight, per_second FROM pipe_limit WHERE pipe = $1";
        let db = &self.store.db;
        let row: Option<LimitRow> = db.one(db.reader(), sql, [pipe.as_str().into()]).await?;
        row.map_or(Ok(PipeLimits::default()), |row| row.limits())
    }

    /// The pipes that have limits, by name.
    pub async fn all_limits(self) -> Result<Vec<PipeLimitView>, StoreError> {
        let db = &self.store.db;
        let sql = "SELECT pipe, in_flight, per_second FROM pipe_limit ORDER BY pipe";
        let rows: Vec<LimitRow> = db.all(db.reader(), sql, []).await?;
        rows.into_iter().map(LimitRow::view).collect()
    }

    /// Some of them, above a pipe, in the order of their names' bytes.
    pub async fn list_limits(
        self,
        above: &str,
        size: u32,
    ) -> Result<Vec<PipeLimitView>, StoreError> {
        let db = &self.store.db;
        let pipe = db.bytewise("pipe");
        let sql = format!(
            "SELECT pipe, in_flight, per_second FROM pipe_limit WHERE {pipe} > $1 ORDER BY {pipe} LIMIT $2"
        );
        let values = [above.into(), i64::from(size).into()];
        let rows: Vec<LimitRow> = db.all(db.reader(), sql, values).await?;
        rows.into_iter().map(LimitRow::view).collect()
    }

    /// Says what a pipe takes, durably. It holds within about a second for what is sent from then
    /// on.
    pub async fn set_limits(
        self,
        pipe: &PipeName,
        limits: &PipeLimits,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
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
        let change = AuditEntry::of_pipe(pipe.as_str(), message, &deployment);
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
