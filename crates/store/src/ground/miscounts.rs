//! Jobs whose counters were found to disagree with the rows that they sum up.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use headway_domain::Micros;
use tokio::sync::Notify;

/// A job that is found wrong again so soon after it was counted is given up, in microseconds.
const RECOUNTED_FOR_US: Micros = 600_000_000;

/// Wrong jobs that are kept in memory at most.
const MAX_REMEMBERED: usize = 1000;

/// How often a job is tried whose recount fails for a cause that may pass.
const MAX_TRIES: u32 = 3;

/// The time between such tries, in microseconds.
const RETRY_US: Micros = 1_000_000;

/// A recount under way is left alone for so long by others, in microseconds.
const CLAIM_US: Micros = 10_000_000;

/// Jobs that were found to be wrong.
#[derive(Debug, Default)]
pub(crate) struct Miscounts {
    jobs: Mutex<BTreeMap<i64, Miscount>>,
    pub(crate) found: AtomicU64,
    pub(crate) noted: Notify,
}

/// A job that was found to be wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Miscount {
    /// When it was counted again, or given up.
    counted: Option<Micros>,
    /// How often counting it again was tried.
    tries: u32,
    /// When it may be tried next.
    next: Micros,
}

impl Miscounts {
    /// Notes a job that is wrong; whether counting it again may help.
    pub(crate) fn note(&self, key: i64, now: Micros) -> bool {
        self.found.fetch_add(1, Ordering::Relaxed);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, job| job.counted.is_none_or(|at| now - at < RECOUNTED_FOR_US));
        match jobs.get(&key) {
            Some(job) if job.counted.is_some() => return false,
            Some(_) => {}
            None if jobs.len() >= MAX_REMEMBERED => return false,
            None => {
                jobs.insert(key, Miscount::default());
            }
        }
        self.noted.notify_one();
        true
    }

    /// Takes the jobs that are to be counted again now.
    pub(crate) fn take_due(&self, now: Micros) -> Vec<i64> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let due = jobs
            .iter_mut()
            .filter(|(_, job)| job.counted.is_none() && job.next <= now);
        due.map(|(key, job)| {
            job.tries += 1;
            job.next = now + CLAIM_US;
            *key
        })
        .collect()
    }

    pub(crate) fn counted(&self, key: i64, now: Micros) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.entry(key).or_default().counted = Some(now);
    }

    /// Notes that a job could not be counted again. It is given up if that may not pass, or did not
    /// pass for some tries.
    pub(crate) fn failed(&self, key: i64, is_passing: bool, now: Micros) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let job = jobs.entry(key).or_default();
        match is_passing && job.tries < MAX_TRIES {
            true => job.next = now + RETRY_US,
            false => job.counted = Some(now),
        }
    }
}
