//! What is known of pipes, cached.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use headway_domain::PartitionId;

/// Uses that are cached at most, so that they are not written again. Beyond that the cache is
/// emptied.
const MAX_NOTED: usize = 10_000;

/// How long they are cached: another process may remove a pipe.
const NOTED_TTL: Duration = Duration::from_secs(60);

/// Uses of pipes by partitions that were written lately.
#[derive(Debug, Default)]
pub(crate) struct NotedPipes {
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    uses: HashSet<(PartitionId, String)>,
    results: HashSet<String>,
    names: HashSet<String>,
    since: Option<Instant>,
}

impl NotedPipes {
    /// Whether this use may not have been written yet.
    pub(crate) fn is_new(&self, partition: &PartitionId, pipe: &str) -> bool {
        let noted = self.lock();
        !noted.uses.contains(&(partition.clone(), pipe.to_owned()))
    }

    pub(crate) fn note(&self, partition: PartitionId, pipe: String) {
        let mut noted = self.lock();
        noted.names.insert(pipe.clone());
        noted.uses.insert((partition, pipe));
    }

    /// Whether a pipe was written lately, for any use.
    pub(crate) fn knows(&self, pipe: &str) -> bool {
        self.lock().names.contains(pipe)
    }

    pub(crate) fn is_noted_result(&self, pipe: &str) -> bool {
        self.lock().results.contains(pipe)
    }

    pub(crate) fn note_result(&self, pipe: &str) {
        let mut noted = self.lock();
        noted.names.insert(pipe.to_owned());
        noted.results.insert(pipe.to_owned());
    }

    /// What is noted; nothing once it is too much, or so old that others may have forgotten a pipe
    /// since.
    fn lock(&self) -> MutexGuard<'_, Noted> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *noted.since.get_or_insert_with(Instant::now);
        if since.elapsed() > NOTED_TTL || noted.uses.len() + noted.results.len() >= MAX_NOTED {
            *noted = Noted::default();
        }
        noted
    }
}

/// What the pipes drain that no job wants more of, as of some moment.
#[derive(Debug, Default)]
pub(crate) struct FreePipes(
    pub(crate) tokio::sync::Mutex<Option<(Instant, BTreeMap<String, f64>)>>,
);
