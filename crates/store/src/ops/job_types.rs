//! Job types that were created by the API.

use headway_domain::{
    Error, JobId, Micros, PartitionId,
    event::{Caller, EventKind},
};
use sea_orm::FromQueryResult;

use super::{changes::Change, unreadable::Sorted};
use crate::{
    Store,
    db::{Durability, Tx},
    error::StoreError,
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

#[derive(Debug, FromQueryResult)]
struct TypeRow {
    type_id: String,
    version: i64,
    definition: String,
    author: String,
    updated: i64,
}

impl TryFrom<TypeRow> for JobTypeView {
    type Error = StoreError;

    fn try_from(row: TypeRow) -> Result<Self, StoreError> {
        Ok(Self {
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

impl Store {
    /// Keeps a new job type, durably.
    ///
    /// # Errors
    /// [`Error::JobTypeExists`].
    pub async fn create_job_type(
        &self,
        id: &JobId,
        definition: &str,
        caller: &Caller,
    ) -> Result<JobTypeView, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let sql = "INSERT INTO job_type (type_id, version, definition, author, updated) VALUES ($1, 1, $2, $3, $4) \
                   ON CONFLICT DO NOTHING";
        let values = [
            id.as_str().into(),
            definition.into(),
            caller.user.as_str().into(),
            db.now().into(),
        ];
        if db.run(&*tx, sql, values).await? == 0 {
            return Err(Error::JobTypeExists(id.to_string()).into());
        }
        self.end(tx, id, EventKind::JobTypeCreated, caller).await
    }

    /// Changes a job type, durably, if it has the version that is named.
    ///
    /// # Errors
    /// [`Error::JobTypeNotFound`], [`Error::EtagMismatch`].
    pub async fn update_job_type(
        &self,
        id: &JobId,
        definition: &str,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<JobTypeView, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let sql = format!(
            "SELECT version AS value FROM job_type WHERE type_id = $1{}",
            db.for_update()
        );
        let now = db.one_int(&*tx, sql, [id.as_str().into()]).await?;
        let now = now.ok_or_else(|| Error::JobTypeNotFound(id.to_string()))?;
        if etag.is_some_and(|etag| etag != now.to_string()) {
            return Err(mismatch(id));
        }
        let sql = "UPDATE job_type SET version = version + 1, definition = $2, author = $3, updated = $4 WHERE type_id = $1";
        let values = [
            id.as_str().into(),
            definition.into(),
            caller.user.as_str().into(),
            db.now().into(),
        ];
        db.run(&*tx, sql, values).await?;
        self.end(tx, id, EventKind::JobTypeUpdated, caller).await
    }

    async fn end(
        &self,
        tx: Tx<'_>,
        id: &JobId,
        kind: EventKind,
        caller: &Caller,
    ) -> Result<JobTypeView, StoreError> {
        let deployment = PartitionId::of_deployment();
        let change = Change::of_job_type(kind, id, &deployment);
        self.db.record(&tx, change, caller).await?;
        tx.commit().await?;
        self.job_type(id).await
    }

    /// Reads a job type.
    ///
    /// # Errors
    /// [`Error::JobTypeNotFound`].
    pub async fn job_type(&self, id: &JobId) -> Result<JobTypeView, StoreError> {
        let sql =
            "SELECT type_id, version, definition, author, updated FROM job_type WHERE type_id = $1";
        let db = &self.db;
        let row: Option<TypeRow> = db.one(db.work_reader(), sql, [id.as_str().into()]).await?;
        row.ok_or_else(|| Error::JobTypeNotFound(id.to_string()))?
            .try_into()
    }

    /// Lists job types above an id, in the order of their ids' bytes.
    pub async fn job_types(&self, above: &str, size: u32) -> Result<JobTypePage, StoreError> {
        let id = self.db.bytewise("type_id");
        let sql = format!(
            "SELECT type_id, version, definition, author, updated FROM job_type WHERE {id} > $1 ORDER BY {id} LIMIT $2"
        );
        let values = [above.into(), (i64::from(size) + 1).into()];
        let mut rows: Vec<TypeRow> = self.db.all(self.db.reader(), sql, values).await?;
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

    /// Removes a job type, durably; its jobs stay.
    ///
    /// # Errors
    /// [`Error::JobTypeNotFound`].
    pub async fn delete_job_type(
        &self,
        id: &JobId,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        if let Some(etag) = etag {
            let sql = format!(
                "SELECT version AS value FROM job_type WHERE type_id = $1{}",
                db.for_update()
            );
            let now = db.one_int(&*tx, sql, [id.as_str().into()]).await?;
            if now.is_some_and(|now| etag != now.to_string()) {
                return Err(mismatch(id));
            }
        }
        let sql = "DELETE FROM job_type WHERE type_id = $1";
        if db.run(&*tx, sql, [id.as_str().into()]).await? == 0 {
            return Err(Error::JobTypeNotFound(id.to_string()).into());
        }
        let deployment = PartitionId::of_deployment();
        let change = Change::of_job_type(EventKind::JobTypeDeleted, id, &deployment);
        db.record(&tx, change, caller).await?;
        tx.commit().await
    }
}
