//! Blocking work of splitters on threads of their own, bounded in number together and for each job.
//!
//! A thread counts until it is back, not until somebody stops waiting for it: a file system that
//! never answers takes the threads of its own jobs, and none beyond them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::{SplitError, WarmKey};

/// The threads of one splitter.
#[derive(Debug)]
pub(crate) struct Scans {
    all: Arc<Semaphore>,
    per_job: usize,
    jobs: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
}

impl Scans {
    /// At most `all` threads at once, and `per_job` of one job.
    pub(crate) fn new(all: usize, per_job: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            per_job,
            jobs: Mutex::default(),
        }
    }

    /// Runs blocking work once a thread is free for it.
    ///
    /// # Errors
    /// Those of the work; [`SplitError::Invalid`] if it panics, [`SplitError::Transient`] if the
    /// process is shutting down.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: Option<WarmKey>,
        work: impl FnOnce() -> Result<T, SplitError> + Send + 'static,
    ) -> Result<T, SplitError> {
        let turn = self.turn(job.map(|key| key.job)).await?;
        let working = tokio::task::spawn_blocking(move || {
            // The caller may be gone by the time it ends.
            let _turn = turn;
            work()
        });
        match working.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(SplitError::invalid("the splitter panicked")),
            Err(_) => Err(stopped()),
        }
    }

    /// The job's own limit comes first: its other pages must not wait in a place that other jobs
    /// could have.
    async fn turn(
        &self,
        job: Option<Uuid>,
    ) -> Result<(Option<OwnedSemaphorePermit>, OwnedSemaphorePermit), SplitError> {
        let own = match job {
            Some(job) => Some(take(self.of(job)).await?),
            None => None,
        };
        Ok((own, take(Arc::clone(&self.all)).await?))
    }

    fn of(&self, job: Uuid) -> Arc<Semaphore> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if !jobs.contains_key(&job) {
            // Permits, and callers that wait for one, hold the semaphore too.
            jobs.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let new = || Arc::new(Semaphore::new(self.per_job));
        Arc::clone(jobs.entry(job).or_insert_with(new))
    }
}

async fn take(semaphore: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, SplitError> {
    // The semaphore is never closed.
    semaphore.acquire_owned().await.map_err(|_| stopped())
}

fn stopped() -> SplitError {
    SplitError::transient("the splitter was stopped")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use headway_runtime::tasks;

    use super::*;

    fn job(number: u128) -> Option<WarmKey> {
        Some(WarmKey {
            job: Uuid::from_u128(number),
            batch: 1,
        })
    }

    #[tokio::test]
    async fn a_thread_counts_until_it_is_back() {
        let scans = Arc::new(Scans::new(3, 2));
        let (release, hung) = mpsc::sync_channel::<()>(2);
        let hung = Arc::new(Mutex::new(hung));
        for _ in 0..2 {
            let (hung, begun) = (Arc::clone(&hung), Arc::new(tokio::sync::Notify::new()));
            let told = Arc::clone(&begun);
            let scans = Arc::clone(&scans);
            let task = tasks::spawn(async move {
                let work = move || {
                    told.notify_one();
                    let _ = hung.lock().unwrap().recv();
                    Ok(())
                };
                scans.run(job(1), work).await
            });
            begun.notified().await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        // Nobody waits for the two threads any more. They still count against their job; another
        // job has its own.
        let third = scans.run(job(1), || Ok(()));
        let waits = tokio::time::timeout(Duration::from_millis(50), third).await;
        assert!(waits.is_err());
        assert_eq!(scans.run(job(2), || Ok(7)).await, Ok(7));
        release.send(()).unwrap();
        assert_eq!(scans.run(job(1), || Ok(8)).await, Ok(8));
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn jobs_that_ended_are_forgotten() {
        let scans = Scans::new(3, 2);
        for number in 0..100 {
            assert_eq!(scans.run(job(number), || Ok(())).await, Ok(()));
        }
        assert!(scans.jobs.lock().unwrap().len() <= 2);
        let panicked = scans.run(job(1), || -> Result<(), SplitError> {
            panic!("on purpose")
        });
        assert!(matches!(panicked.await, Err(SplitError::Invalid(_))));
    }
}
