//! Which creations wait, and which commits may be under way.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headway_domain::Micros;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    error::StoreError,
    jobs::create::new_job::{Created, NewJob},
};

/// Requests in one commit at most.
const MAX_JOBS_PER_COMMIT: usize = 64;

/// A commit that takes longer is held up, as by a lock.
const SLOW_COMMIT: Duration = Duration::from_millis(50);

/// Requests waiting at most; more are told to come back.
const MAX_WAITING: usize = 4096;

/// Times of creation are ahead of the clock by less than this, in microseconds.
const MAX_AHEAD: Micros = 1_000_000;

pub(crate) type Reply = oneshot::Sender<Result<Created, StoreError>>;

/// Who waits for the next commit, and which commits may be under way: usually few, since the more
/// requests share one the less each costs; and some more while those are held up.
#[derive(Debug)]
pub(crate) struct Lanes {
    waiting: Mutex<Vec<(NewJob, Reply)>>,
    /// The last time of creation that was given out.
    created: Mutex<Micros>,
    first: Arc<Semaphore>,
    more: Arc<Semaphore>,
}

impl Lanes {
    pub(crate) fn new(first: usize, more: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            created: Mutex::default(),
            first: Arc::new(Semaphore::new(first)),
            more: Arc::new(Semaphore::new(more)),
        }
    }

    /// The first of `count` times of creation. This process gives each time out once, in the order
    /// of the requests.
    pub(crate) fn times(&self, now: Micros, count: i64) -> Micros {
        let mut last = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the clock was set back, it counts.
        let ahead = *last >= now && *last - now < MAX_AHEAD;
        let first = if ahead { *last + 1 } else { now };
        *last = first + count - 1;
        first
    }

    /// The right to begin a commit.
    pub(crate) async fn lane(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let more = async {
            tokio::time::sleep(SLOW_COMMIT).await;
            self.more.clone().acquire_owned().await
        };
        tokio::select! {
            biased;
            lane = self.first.clone().acquire_owned() => lane,
            lane = more => lane,
        }
    }

    pub(crate) fn push(&self, job: NewJob, reply: Reply) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING {
            return Err(StoreError::Unavailable(
                "too many jobs are being created at once".to_owned(),
            ));
        }
        waiting.push((job, reply));
        Ok(())
    }

    pub(crate) fn take(&self) -> Vec<(NewJob, Reply)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(MAX_JOBS_PER_COMMIT);
        waiting.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_of_creation_is_given_out_once() {
        let lanes = Lanes::new(1, 1);
        let now = 1_000 * MAX_AHEAD;
        assert_eq!(lanes.times(now, 1), now);
        assert_eq!(lanes.times(now, 3), now + 1);
        assert_eq!(lanes.times(now, 1), now + 4);
        assert_eq!(lanes.times(now + 10, 1), now + 10);
        // A clock that was set back counts.
        assert_eq!(lanes.times(now - MAX_AHEAD, 1), now - MAX_AHEAD);
    }
}
