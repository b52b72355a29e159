//! Job types that were created by the API.

mod entity;

use headway_domain::{
    Error, JobId, Micros, PartitionId,
    etag::etag,
    events::{Caller, EventKind},
};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Expr, ExprTrait, OnConflict, Order},
};

use crate::{
    db::{Durability, Tx},
    deployment::unreadable::Sorted,
    error::StoreError,
    events::record::AuditEntry,
    job_types::entity::{ActiveModel, Column, Entity, Model},
    store::Store,
};

/// A job type as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTypeView {
    /// Its id.
    pub id: JobId,
    /// Rises by one with each change, from 1.
    pub version: i64,
    /// What it says.
    pub definition: String,
    /// Who created or changed it last.
    pub author: String,
    /// When it was changed last.
    pub updated: Micros,
    /// Identifies what it says, and when that was said.
    pub etag: String,
}

/// Some job types and where the next ones begin.
#[derive(Debug, Clone)]
pub struct JobTypePage {
    /// In the order of their ids' bytes.
    pub types: Vec<JobTypeView>,
    /// The ids of job types of this page that this version cannot read.
    pub unreadable: Vec<String>,
    /// The id to continue above, if there may be more.
    pub next: Option<String>,
}

impl Model {
    /// Not the version alone: a type that was deleted and created again has the same ones.
    fn etag(&self) -> String {
        etag([
            self.type_id.as_bytes(),
            &self.version.to_be_bytes(),
            self.definition.as_bytes(),
            &self.updated.to_be_bytes(),
        ])
    }
}

impl TryFrom<Model> for JobTypeView {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        Ok(Self {
            etag: row.etag(),
            id: JobId::new(row.type_id)?,
            version: row.version,
            definition: row.definition,
            author: row.author,
            updated: row.updated,
        })
    }
}

fn mismatch(id: &JobId) -> StoreError {
    Error::EtagMismatch(format!("job type {id}")).into()
}

/// Job types that were created by the API.
#[derive(Debug, Clone, Copy)]
pub struct JobTypes<'a> {
    store: &'a Store,
    /// See `rehearsing`.
    rehearse: bool,
}

impl Store {
    /// Job types that were created by the API.
    pub fn job_types(&self) -> JobTypes<'_> {
        JobTypes {
            store: self,
            rehearse: false,
        }
    }
}

impl JobTypes<'_> {
    /// The same; if this is set, `create` and `update` do everything but commit.
    #[must_use]
    pub fn rehearsing(self, rehearse: bool) -> Self {
        Self { rehearse, ..self }
    }

    /// Keeps a new job type, durably.
    ///
    /// # Errors
    /// [`Error::JobTypeExists`].
    pub async fn create(
        self,
        id: &JobId,
        definition: &str,
        caller: &Caller,
    ) -> Result<JobTypeView, StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        let new = ActiveModel {
            type_id: Set(id.to_string()),
            version: Set(1),
            definition: Set(definition.to_owned()),
            author: Set(caller.user.clone()),
            updated: Set(db.now()),
        };
        let insert = Entity::insert(new).on_conflict(OnConflict::new().do_nothing().to_owned());
        if db.apply(&*tx, &insert).await? == 0 {
            return Err(Error::JobTypeExists(id.to_string()).into());
        }
        self.finish(tx, id, EventKind::JobTypeCreated, caller).await
    }

    /// Changes a job type, durably, if it has the etag that is named.
    ///
    /// # Errors
    /// [`Error::JobTypeNotFound`], [`Error::EtagMismatch`].
    pub async fn update(
        self,
        id: &JobId,
        definition: &str,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<JobTypeView, StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        let present: Option<Model> = db
            .find_one(&*tx, &Entity::find_by_id(id.as_str()).lock_exclusive())
            .await?;
        let present = present.ok_or_else(|| Error::JobTypeNotFound(id.to_string()))?;
        if etag.is_some_and(|etag| etag != present.etag()) {
            return Err(mismatch(id));
        }
        let update = Entity::update_many()
            .col_expr(Column::Version, Expr::value(present.version + 1))
            .col_expr(Column::Definition, Expr::value(definition))
            .col_expr(Column::Author, Expr::value(caller.user.as_str()))
            .col_expr(Column::Updated, Expr::value(db.now()))
            .filter(Column::TypeId.eq(id.as_str()));
        db.apply(&*tx, &update).await?;
        self.finish(tx, id, EventKind::JobTypeUpdated, caller).await
    }

    async fn finish(
        self,
        tx: Tx<'_>,
        id: &JobId,
        kind: EventKind,
        caller: &Caller,
    ) -> Result<JobTypeView, StoreError> {
        let deployment = PartitionId::of_deployment();
        let change = AuditEntry::of_job_type(kind, id, &deployment);
        let db = &self.store.db;
        db.record(&tx, change, caller).await?;
        if self.rehearse {
            let found: Option<Model> = db.find_one(&*tx, &Entity::find_by_id(id.as_str())).await?;
            tx.undo().await?;
            return found
                .ok_or_else(|| Error::JobTypeNotFound(id.to_string()))?
                .try_into();
        }
        tx.commit().await?;
        self.get(id).await
    }

    /// Removes a job type, durably; its jobs stay.
    ///
    /// # Errors
    /// [`Error::JobTypeNotFound`].
    pub async fn delete(
        self,
        id: &JobId,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        if let Some(etag) = etag {
            let present: Option<Model> = db
                .find_one(&*tx, &Entity::find_by_id(id.as_str()).lock_exclusive())
                .await?;
            if present.is_some_and(|present| etag != present.etag()) {
                return Err(mismatch(id));
            }
        }
        let delete = Entity::delete_many().filter(Column::TypeId.eq(id.as_str()));
        if db.apply(&*tx, &delete).await? == 0 {
            return Err(Error::JobTypeNotFound(id.to_string()).into());
        }
        let deployment = PartitionId::of_deployment();
        let change = AuditEntry::of_job_type(EventKind::JobTypeDeleted, id, &deployment);
        db.record(&tx, change, caller).await?;
        tx.commit().await
    }

    /// Reads a job type.
    ///
    /// # Errors
    /// [`Error::JobTypeNotFound`].
    pub async fn get(self, id: &JobId) -> Result<JobTypeView, StoreError> {
        let db = &self.store.db;
        let row: Option<Model> = db
            .find_one(db.work_reader(), &Entity::find_by_id(id.as_str()))
            .await?;
        row.ok_or_else(|| Error::JobTypeNotFound(id.to_string()))?
            .try_into()
    }

    /// Lists job types above an id, in the order of their ids' bytes.
    pub async fn list(self, above: &str, size: u32) -> Result<JobTypePage, StoreError> {
        let db = &self.store.db;
        let id = Expr::cust(db.bytewise("type_id"));
        let query = Entity::find()
            .filter(ExprTrait::gt(id.clone(), above))
            .order_by(id, Order::Asc)
            .limit(u64::from(size) + 1);
        let mut rows: Vec<Model> = db.find_all(db.reader(), &query).await?;
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let next = rows.last().filter(|_| more).map(|row| row.type_id.clone());
        let rows = rows.into_iter().map(|row| (row.type_id.clone(), row));
        let sorted = Sorted::read(rows, JobTypeView::try_from)?;
        Ok(JobTypePage {
            types: sorted.readable,
            unreadable: sorted.unreadable,
            next,
        })
    }
}
