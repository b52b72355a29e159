//! Which pipes have limits and which partitions have quotas, cached.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use headway_domain::{PartitionId, PipeName, jobs::bulk::JOBS};

/// How old the cached limits may be.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// The pipes that have limits, and the partitions that have a quota of items in flight.
#[derive(Debug, Default)]
pub(crate) struct Limited {
    pub(crate) pipes: HashSet<String>,
    pub(crate) partitions: HashSet<String>,
}

impl Limited {
    /// Whether nothing of a job is sent before it was shared out.
    pub(crate) fn rations(&self, partition: &PartitionId, pipe: &PipeName) -> bool {
        let pipe = pipe.as_str();
        self.pipes.contains(pipe) || (pipe != JOBS && self.partitions.contains(partition.as_str()))
    }
}

/// What is limited, as of some moment.
#[derive(Debug, Default)]
pub(crate) struct KnownLimits(pub(crate) Mutex<Option<Known>>);

type Known = (Instant, Arc<Limited>);

impl KnownLimits {
    /// The cached limits. When they are stale, the first caller reloads them; others use the old
    /// value.
    pub(crate) fn known(&self) -> Option<Arc<Limited>> {
        let mut known = self.lock();
        let (when, limited) = known.as_mut()?;
        if when.elapsed() < CACHE_TTL {
            return Some(limited.clone());
        }
        *when = Instant::now();
        None
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
