//! What hardly ever changes about a job, kept in memory: reports name a job by its uid, and most
//! are about a few jobs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use headway_domain::{JobUid, jobs::JobMeta};

/// Jobs cached at most; each takes a few kilobytes.
const MAX_CACHED: usize = 4096;

/// The most recently used metas, by uid and by key. A deleted job may stay: its rows are gone, so
/// nothing comes of it.
#[derive(Debug, Default)]
pub(crate) struct MetaCache {
    inner: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
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

impl Generations {
    fn insert(&mut self, meta: Arc<JobMeta>) {
        if self.by_uid.len() >= MAX_CACHED / 2 {
            self.old = std::mem::take(&mut self.by_uid);
            self.by_key.clear();
        }
        self.by_key.insert(meta.key, meta.clone());
        self.by_uid.insert(meta.uid, meta);
    }
}
