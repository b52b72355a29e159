//! What is known of jobs beside their progress: from memory, or read, and read again where it has
//! changed.

use std::{collections::HashMap, sync::Arc};

use headway_domain::{Error, Job, JobName, JobUid, jobs::JobMeta};
use sea_orm::{ConnectionTrait, Value, sea_query::ArrayType};

use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    slice::rows::{
        job::{META_COLUMNS, MetaRow},
        progress::ProgressRow,
    },
    store::Store,
};

impl Db {
    /// Reads again what changed about jobs since it was cached, on the connection of a transaction:
    /// a second one may not be free.
    pub(crate) async fn fresh_metas(
        &self,
        on: &impl ConnectionTrait,
        rows: &[ProgressRow],
        known: &HashMap<i64, &Arc<JobMeta>>,
    ) -> Result<HashMap<i64, Arc<JobMeta>>, StoreError> {
        let stale = rows.iter().filter(|row| {
            let meta = known.get(&row.job_key);
            meta.is_some_and(|meta| i64::from(meta.version) != row.spec_version)
        });
        let stale: Vec<i64> = stale.map(|row| row.job_key).collect();
        let mut fresh = HashMap::with_capacity(stale.len());
        if stale.is_empty() {
            return Ok(fresh);
        }
        let sql = format!(
            "SELECT {META_COLUMNS} FROM job j WHERE {}",
            self.is_in("j.job_key", 1)
        );
        let rows: Vec<MetaRow> = self.all(on, sql, [keys::ints(stale)]).await?;
        for row in rows {
            let meta = Arc::new(JobMeta::try_from(row)?);
            self.meta.insert(meta.clone());
            fresh.insert(meta.key, meta);
        }
        Ok(fresh)
    }

    /// Jobs as they are, with what is known of each, or was changed since.
    pub(crate) async fn jobs_of(
        &self,
        rows: Vec<ProgressRow>,
        known: &HashMap<i64, &Arc<JobMeta>>,
    ) -> Result<Vec<Job>, StoreError> {
        let fresh = self.fresh_metas(self.work_reader(), &rows, known).await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            let meta = fresh.get(&row.job_key);
            if let Some(meta) = meta.or_else(|| known.get(&row.job_key).copied()) {
                jobs.push(row.into_job(meta.clone())?);
            }
        }
        Ok(jobs)
    }
}

impl Store {
    /// What is known of these jobs beside their progress, from memory or the database; unknown ones
    /// are left out.
    pub(crate) async fn metas(
        &self,
        uids: &[JobUid],
    ) -> Result<HashMap<JobUid, Arc<JobMeta>>, StoreError> {
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        for uid in uids.iter().copied() {
            match self.db.meta.get(uid) {
                Some(meta) => drop(found.insert(uid, meta)),
                None => unknown.push(uid),
            }
        }
        unknown.sort_unstable();
        unknown.dedup();
        for meta in self.read_metas(&unknown).await? {
            found.insert(meta.uid, meta);
        }
        Ok(found)
    }

    pub(crate) async fn meta_of(&self, uid: JobUid) -> Result<Option<Arc<JobMeta>>, StoreError> {
        match self.db.meta.get(uid) {
            Some(meta) => Ok(Some(meta)),
            None => self.read_meta(uid).await,
        }
    }

    /// On SQLite, where a statement costs no round trip, one a job.
    async fn read_metas(&self, uids: &[JobUid]) -> Result<Vec<Arc<JobMeta>>, StoreError> {
        if uids.len() < 2 || self.db.is_sqlite() {
            let mut metas = Vec::with_capacity(uids.len());
            for uid in uids {
                metas.extend(self.read_meta(*uid).await?);
            }
            return Ok(metas);
        }
        let list = uids.iter().map(|uid| uid.0.as_bytes().to_vec().into());
        let list = Value::Array(ArrayType::Bytes, Some(Box::new(list.collect())));
        let sql = format!("SELECT {META_COLUMNS} FROM job j WHERE j.uid = ANY ($1::bytea[])");
        let rows: Vec<MetaRow> = self.db.all(self.db.work_reader(), sql, [list]).await?;
        let metas = rows.into_iter().map(|row| self.remember(Some(row)));
        metas.filter_map(Result::transpose).collect()
    }

    async fn read_meta(&self, uid: JobUid) -> Result<Option<Arc<JobMeta>>, StoreError> {
        let sql = format!("SELECT {META_COLUMNS} FROM job j WHERE j.uid = $1");
        let row: Option<MetaRow> = self
            .db
            .one(
                self.db.work_reader(),
                sql,
                [uid.0.as_bytes().to_vec().into()],
            )
            .await?;
        self.remember(row)
    }

    pub(crate) async fn meta_by_key(&self, key: i64) -> Result<Option<Arc<JobMeta>>, StoreError> {
        if let Some(meta) = self.db.meta.by_key(key) {
            return Ok(Some(meta));
        }
        let sql = format!("SELECT {META_COLUMNS} FROM job j WHERE j.job_key = $1");
        let row: Option<MetaRow> = self
            .db
            .one(self.db.work_reader(), sql, [key.into()])
            .await?;
        self.remember(row)
    }

    /// What is known of jobs beside their progress. Jobs that are gone are left out.
    pub(crate) async fn metas_by_key(&self, keys: &[i64]) -> Result<Vec<Arc<JobMeta>>, StoreError> {
        self.metas_on(self.db.work_reader(), keys).await
    }

    /// The same, read on the connection of a transaction: a second one may not be free.
    pub(crate) async fn metas_in(
        &self,
        tx: &Tx<'_>,
        keys: &[i64],
    ) -> Result<Vec<Arc<JobMeta>>, StoreError> {
        self.metas_on(&**tx, keys).await
    }

    async fn metas_on(
        &self,
        on: &impl ConnectionTrait,
        keys: &[i64],
    ) -> Result<Vec<Arc<JobMeta>>, StoreError> {
        let mut metas = Vec::with_capacity(keys.len());
        let mut unknown = Vec::new();
        for key in keys.iter().copied() {
            match self.db.meta.by_key(key) {
                Some(meta) => metas.push(meta),
                None => unknown.push(key),
            }
        }
        if unknown.is_empty() {
            return Ok(metas);
        }
        let sql = format!(
            "SELECT {META_COLUMNS} FROM job j WHERE {}",
            self.db.is_in("j.job_key", 1)
        );
        let rows: Vec<MetaRow> = self.db.all(on, sql, [keys::ints(unknown)]).await?;
        for row in rows {
            metas.extend(self.remember(Some(row))?);
        }
        Ok(metas)
    }

    fn remember(&self, row: Option<MetaRow>) -> Result<Option<Arc<JobMeta>>, StoreError> {
        let Some(row) = row else { return Ok(None) };
        let meta = Arc::new(JobMeta::try_from(row)?);
        self.db.meta.insert(meta.clone());
        Ok(Some(meta))
    }

    /// Reads what is known of a job beside its progress, by its name.
    pub(crate) async fn named(&self, name: &JobName) -> Result<Arc<JobMeta>, StoreError> {
        let sql =
            format!("SELECT {META_COLUMNS} FROM job j WHERE j.partition_id = $1 AND j.job_id = $2");
        let values = [name.partition.as_str().into(), name.job.as_str().into()];
        let row: Option<MetaRow> = self.db.one(self.db.work_reader(), sql, values).await?;
        let row = row.ok_or_else(|| Error::JobNotFound(name.clone()))?;
        let meta = Arc::new(JobMeta::try_from(row)?);
        self.db.meta.insert(meta.clone());
        Ok(meta)
    }

    pub(crate) async fn read_job(&self, meta: &Arc<JobMeta>) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "SELECT {} FROM job_progress p WHERE p.job_key = $1",
            ProgressRow::COLUMNS
        );
        let row: Option<ProgressRow> = self
            .db
            .one(self.db.work_reader(), sql, [meta.key.into()])
            .await?;
        let known = HashMap::from([(meta.key, meta)]);
        let jobs = self.db.jobs_of(Vec::from_iter(row), &known).await?;
        Ok(jobs.into_iter().next())
    }
}
