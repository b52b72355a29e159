//! What hardly ever changes about a job, kept in memory: reports name a job by its uid, and most are about a few jobs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use headway_domain::{JobId, JobName, JobUid, PartitionId, job::JobMeta, spec::JobSpec};
use sea_orm::FromQueryResult;

use super::unsigned;
use crate::error::StoreError;

/// Jobs remembered at most; each takes a few kilobytes.
const CACHED: usize = 4096;

/// The columns of [`MetaRow`], with the table as `j`.
pub(crate) const META_COLUMNS: &str =
    "j.job_key, j.uid, j.partition_id, j.job_id, j.shard, j.spec, j.creator, j.created, j.version";

#[derive(Debug, FromQueryResult)]
pub(crate) struct MetaRow {
    pub job_key: i64,
    pub uid: Vec<u8>,
    pub partition_id: String,
    pub job_id: String,
    pub shard: i64,
    pub spec: String,
    pub creator: String,
    pub created: i64,
    pub version: i64,
}

impl TryFrom<MetaRow> for JobMeta {
    type Error = StoreError;

    fn try_from(row: MetaRow) -> Result<Self, StoreError> {
        let broken = |what: &str| StoreError::Broken(format!("job {}: {what}", row.job_key));
        let spec: JobSpec =
            serde_json::from_str(&row.spec).map_err(|error| broken(&error.to_string()))?;
        Ok(Self {
            key: row.job_key,
            uid: JobUid::from_slice(&row.uid).ok_or_else(|| broken("uid"))?,
            name: JobName {
                partition: PartitionId::new(row.partition_id)?,
                job: JobId::new(row.job_id)?,
            },
            shard: unsigned(row.shard)?,
            spec,
            creator: row.creator,
            created: row.created,
            version: unsigned(row.version)?,
        })
    }
}

/// The most recently used metas, by uid and by key. A deleted job may stay: its rows are gone, so nothing comes of it.
#[derive(Debug, Default)]
pub(crate) struct MetaCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_uid: HashMap<JobUid, Arc<JobMeta>>,
    by_key: HashMap<i64, Arc<JobMeta>>,
    /// The generation before: what was used since the last turn moves back.
    old: HashMap<JobUid, Arc<JobMeta>>,
}

impl MetaCache {
    pub(crate) fn get(&self, uid: JobUid) -> Option<Arc<JobMeta>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meta) = inner.by_uid.get(&uid) {
            return Some(meta.clone());
        }
        let meta = inner.old.remove(&uid)?;
        inner.insert(meta.clone());
        Some(meta)
    }

    pub(crate) fn by_key(&self, key: i64) -> Option<Arc<JobMeta>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_key.get(&key).cloned()
    }

    pub(crate) fn insert(&self, meta: Arc<JobMeta>) {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(meta);
    }
}

impl Inner {
    fn insert(&mut self, meta: Arc<JobMeta>) {
        if self.by_uid.len() >= CACHED / 2 {
            self.old = std::mem::take(&mut self.by_uid);
            self.by_key.clear();
        }
        self.by_key.insert(meta.key, meta.clone());
        self.by_uid.insert(meta.uid, meta);
    }
}
