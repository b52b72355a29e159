//! What all handles of one broker share: its connections, and the queues that it has declared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::RabbitConfig;
use super::link::{Link, Live};
use crate::{BrokerError, Queue};

/// How long a queue counts as fresh after it was declared.
const FRESH: Duration = Duration::from_secs(2);

/// What all handles of one broker share.
pub(super) struct Inner {
    pub(super) config: RabbitConfig,
    pub(super) publishing: Link,
    pub(super) consuming: Link,
    pub(super) closed: CancellationToken,
    pub(super) links: TaskTracker,
    /// Publishes that run at once.
    pub(super) publishers: Semaphore,
    /// Publishes that wait for queues that do not answer.
    pub(super) held_up: Semaphore,
    pub(super) broadcasters: Semaphore,
    /// Queues that were declared, and when, until the broker says that one is missing.
    pub(super) declared: Mutex<HashMap<Queue, Instant>>,
}

impl Inner {
    /// The connection for looking at queues and emptying them: the consuming one, because the
    /// broker reads nothing from a publishing connection that it holds back.
    pub(super) async fn administration(&self) -> Result<Arc<Live>, BrokerError> {
        self.consuming.live(self.config.repair_wait).await
    }

    fn declared(&self) -> MutexGuard<'_, HashMap<Queue, Instant>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_declared(&self, queue: &Queue) -> bool {
        self.declared().contains_key(queue)
    }

    /// Whether a queue was declared so lately that it may not take messages yet.
    pub(super) fn is_fresh(&self, queue: &Queue) -> bool {
        self.declared()
            .get(queue)
            .is_some_and(|since| since.elapsed() < FRESH)
    }

    pub(super) fn remember(&self, queue: &Queue) {
        self.declared().insert(queue.clone(), Instant::now());
    }

    pub(super) fn forget(&self, queue: &Queue) {
        self.declared().remove(queue);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}
