//! Creations that share a commit: requests that come while one is under way wait for the next, so that the cost of a
//! durable commit is shared.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headway_domain::Micros;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::instrument::WithSubscriber;

use super::create::{Created, NewJob};
use crate::{Committed, Store, db::bulk::Taken, error::StoreError};

/// Requests in one commit at most.
const GROUP: usize = 64;
/// A commit that takes longer is held up, as by a lock.
const HELD_UP: Duration = Duration::from_millis(50);
/// Requests waiting at most; more are told to come back.
const WAITING: usize = 4096;

/// Times of creation are ahead of the clock by less than this, in microseconds.
const AHEAD: Micros = 1_000_000;

type Reply = oneshot::Sender<Result<Created, StoreError>>;

/// Who waits for the next commit, and which commits may be under way: usually few, since the more requests share one the
/// less each costs; and some more while those are held up.
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

    /// The first of so many times of creation, each given out once by this process: they stand in the order in which they are asked for.
    pub(super) fn times(&self, now: Micros, count: i64) -> Micros {
        let mut last = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the clock was set back, it counts.
        let ahead = *last >= now && *last - now < AHEAD;
        let first = if ahead { *last + 1 } else { now };
        *last = first + count - 1;
        first
    }

    /// The right to begin a commit.
    async fn lane(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let more = async {
            tokio::time::sleep(HELD_UP).await;
            self.more.clone().acquire_owned().await
        };
        tokio::select! {
            biased;
            lane = self.first.clone().acquire_owned() => lane,
            lane = more => lane,
        }
    }

    fn push(&self, job: NewJob, reply: Reply) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            return Err(StoreError::Unavailable(
                "too many jobs are being created at once".to_owned(),
            ));
        }
        waiting.push((job, reply));
        Ok(())
    }

    fn take(&self) -> Vec<(NewJob, Reply)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(GROUP);
        waiting.drain(..count).collect()
    }
}

impl Store {
    /// Accepts a job, durably. The same name, or the same request id, with the same spec returns the job that exists.
    pub async fn create_job(&self, job: NewJob) -> Result<Created, StoreError> {
        let mut job = job;
        if job.created.is_none() {
            job.created = self.creation_times(1).next();
        }
        let (reply, mut answer) = oneshot::channel();
        self.creates.push(job, reply)?;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    return answer.unwrap_or_else(|_| Err(given_up()));
                }
                permit = self.creates.lane() => {
                    let Ok(permit) = permit else {
                        return Err(StoreError::Unavailable("the store is closed".to_owned()));
                    };
                    let group = self.creates.take();
                    if group.is_empty() {
                        // Somebody took this job along: looking for more to do until its commit is over would spin.
                        drop(permit);
                        return answer.await.unwrap_or_else(|_| Err(given_up()));
                    }
                    let store = self.clone();
                    // A task of its own: a caller that goes away must not take the others' commit with it.
                    let commit = async move {
                        store.commit_group(group).await;
                        drop(permit);
                    };
                    tokio::spawn(commit.with_current_subscriber());
                }
            }
        }
    }

    async fn commit_group(&self, mut group: Vec<(NewJob, Reply)>) {
        // Commits that meet the same names wait for each other; in one order they do not deadlock.
        group.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let (jobs, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        // Nearly all jobs are new, so the statement that cannot leave any out is tried first: see `Taken`.
        let mut inserted = self.insert(&jobs, Taken::Fail).await;
        if matches!(inserted, Err(StoreError::Duplicate(_))) {
            inserted = self.insert(&jobs, Taken::LeaveOut).await;
        }
        match inserted {
            Ok(created) => {
                for ((reply, created), job) in replies.into_iter().zip(created).zip(jobs) {
                    // A caller that went away finds the job by its id or request id.
                    let _ = match created {
                        Some(created) => reply.send(Ok(created)),
                        // It exists, or is in the group twice.
                        None => reply.send(self.create_alone(job).await),
                    };
                }
            }
            // One of them is refused: each by itself.
            Err(StoreError::Domain(_) | StoreError::Refused(_) | StoreError::Broken(_)) => {
                for (reply, job) in replies.into_iter().zip(jobs) {
                    let _ = reply.send(self.create_alone(job).await);
                }
            }
            Err(error) => {
                let text = error.to_string();
                for reply in replies {
                    let _ = reply.send(Err(StoreError::Unavailable(text.clone())));
                }
            }
        }
    }

    async fn create_alone(&self, job: NewJob) -> Result<Created, StoreError> {
        let mut tries = 3;
        loop {
            if let Some(view) = self.existing_job(&job).await? {
                return Ok(Created {
                    view,
                    existed: true,
                    committed: Committed::default(),
                });
            }
            tries -= 1;
            let created = self
                .insert(std::slice::from_ref(&job), Taken::LeaveOut)
                .await?;
            if let Some(created) = created.into_iter().flatten().next() {
                return Ok(created);
            }
            // Another call created it meanwhile, and perhaps a third deleted it again.
            if tries == 0 {
                let text = format!("other calls create and delete job {} at once", job.name);
                return Err(StoreError::Unavailable(text));
            }
        }
    }
}

fn given_up() -> StoreError {
    StoreError::Unavailable("the commit was given up".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_of_creation_is_given_out_once() {
        let lanes = Lanes::new(1, 1);
        let now = 1_000 * AHEAD;
        assert_eq!(lanes.times(now, 1), now);
        assert_eq!(lanes.times(now, 3), now + 1);
        assert_eq!(lanes.times(now, 1), now + 4);
        assert_eq!(lanes.times(now + 10, 1), now + 10);
        // A clock that was set back counts.
        assert_eq!(lanes.times(now - AHEAD, 1), now - AHEAD);
    }
}
