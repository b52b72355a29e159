//! Supervised background tasks: each has a name and a kind, none fails unseen, and the end of
//! all of them is awaited with a deadline.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long [`Supervisor::join`] waits for aborted tasks to give up. Only a task that blocks its
/// thread takes longer, and waiting does not help there.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// What a task is to its process, and so what its end means.
///
/// | kind | error or panic | early end | at shutdown |
/// |---|---|---|---|
/// | `Service` | stops the process | stops the process | is told by the token, may drain |
/// | `Loop` | stops the process | stops the process | is aborted |
/// | `Once` | stops the process | is normal | is told by the token, may drain |
/// | `BestEffort` | is logged | is normal | is aborted |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Runs until shutdown and has something to finish then: a listener, a consumer.
    Service,
    /// Runs until shutdown and can be stopped at any await: a sweeper, a poller.
    Loop,
    /// Has an end of its own that matters: a migration, a first load.
    Once,
    /// Is missed by nobody: a cache warmer, a gauge.
    BestEffort,
}

/// What follows from an error or a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The shutdown token is cancelled and [`Supervisor::join`] returns the failure.
    Stop,
    /// A line in the log.
    Log,
}

/// How a task learns of the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCancel {
    /// By the token, which the task itself watches.
    Cancel,
    /// By being dropped at its next await.
    Abort,
}

impl TaskKind {
    /// What follows from an error or a panic of such a task.
    pub fn on_failure(self) -> OnFailure {
        match self {
            Self::Service | Self::Loop | Self::Once => OnFailure::Stop,
            Self::BestEffort => OnFailure::Log,
        }
    }

    /// Whether such a task may end well before the shutdown.
    pub fn may_end_early(self) -> bool {
        match self {
            Self::Service | Self::Loop => false,
            Self::Once | Self::BestEffort => true,
        }
    }

    /// How such a task learns of the shutdown.
    pub fn on_cancel(self) -> OnCancel {
        match self {
            Self::Service | Self::Once => OnCancel::Cancel,
            Self::Loop | Self::BestEffort => OnCancel::Abort,
        }
    }
}

/// The failure of one task.
#[derive(Debug, thiserror::Error)]
#[error("task `{task}` {end}")]
pub struct TaskFailure {
    /// The name given to [`Supervisor::spawn`].
    pub task: String,
    /// How it ended.
    pub end: FailedEnd,
}

/// How a task ended that should not have.
#[derive(Debug)]
pub enum FailedEnd {
    /// It returned an error.
    Error(anyhow::Error),
    /// It panicked, with this message.
    Panic(String),
    /// It returned without an error although nobody had asked it to.
    Early,
}

impl fmt::Display for FailedEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(formatter, "failed: {error:#}"),
            Self::Panic(message) => write!(formatter, "panicked: {message}"),
            Self::Early => formatter.write_str("ended although it should run until shutdown"),
        }
    }
}

/// What went wrong by the end of [`Supervisor::join`]; at least one of the two is there.
#[derive(Debug, thiserror::Error)]
pub struct SupervisorError {
    /// The first failure of a task that stops the process.
    pub failure: Option<TaskFailure>,
    /// The names of the tasks that had to be aborted at the deadline, in the order of their start.
    pub overdue: Vec<String>,
}

impl fmt::Display for SupervisorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = &self.failure {
            write!(formatter, "{failure}")?;
        }
        if self.overdue.is_empty() {
            return Ok(());
        }
        if self.failure.is_some() {
            formatter.write_str("; ")?;
        }
        write!(
            formatter,
            "tasks that did not end in time: {}",
            self.overdue.join(", ")
        )
    }
}

/// Owner of a process's background tasks. Clones share them.
#[derive(Debug, Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shutdown: CancellationToken,
    tracker: TaskTracker,
    next_id: AtomicU64,
    running: Mutex<BTreeMap<u64, (String, AbortHandle)>>,
    failure: Mutex<Option<TaskFailure>>,
}

impl Supervisor {
    /// A supervisor without tasks that ends with `shutdown`, and cancels it when a task fails.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            shared: Arc::new(Shared {
                shutdown,
                tracker: TaskTracker::new(),
                next_id: AtomicU64::new(0),
                running: Mutex::default(),
                failure: Mutex::default(),
            }),
        }
    }

    /// The token that tells tasks to end.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shared.shutdown
    }

    /// Starts a task. `name` stands in logs and errors; it need not be unique. A task started after
    /// the shutdown is told, or aborted, at once.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<Task>(&self, kind: TaskKind, name: impl Into<String>, task: Task)
    where
        Task: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let name = name.into();
        // The task runs on its own and a second one watches it, which turns a panic into a value.
        let mut handle = tokio::spawn(task);
        lock(&self.shared.running).insert(id, (name.clone(), handle.abort_handle()));
        let shared = Arc::clone(&self.shared);
        self.shared.tracker.spawn(async move {
            if kind.on_cancel() == OnCancel::Abort {
                tokio::select! {
                    biased;
                    end = &mut handle => return shared.ended(id, kind, name, end),
                    () = shared.shutdown.cancelled() => handle.abort(),
                }
            }
            let end = handle.await;
            shared.ended(id, kind, name, end);
        });
    }

    /// Waits until the shutdown token is cancelled or every task has ended, then at most `deadline`
    /// for the tasks to finish, and aborts what is left. The token is cancelled when it returns.
    ///
    /// # Errors
    /// The first failure of a task that stops the process, and the names of the tasks that did not
    /// end in time.
    pub async fn join(&self, deadline: Duration) -> Result<(), SupervisorError> {
        let shared = &self.shared;
        shared.tracker.close();
        tokio::select! {
            () = shared.tracker.wait() => shared.shutdown.cancel(),
            () = shared.shutdown.cancelled() => {}
        }
        let mut overdue = Vec::new();
        if tokio::time::timeout(deadline, shared.tracker.wait())
            .await
            .is_err()
        {
            for (name, abort) in lock(&shared.running).values() {
                abort.abort();
                overdue.push(name.clone());
            }
            // Destructors run now; the names are reported either way.
            let _ = tokio::time::timeout(ABORT_GRACE, shared.tracker.wait()).await;
        }
        let failure = lock(&shared.failure).take();
        if failure.is_none() && overdue.is_empty() {
            return Ok(());
        }
        Err(SupervisorError { failure, overdue })
    }
}

impl Shared {
    fn ended(
        &self,
        id: u64,
        kind: TaskKind,
        task: String,
        end: Result<anyhow::Result<()>, JoinError>,
    ) {
        lock(&self.running).remove(&id);
        let end = match end {
            Ok(Ok(())) if kind.may_end_early() || self.shutdown.is_cancelled() => {
                return tracing::debug!(%task, "task ended");
            }
            Ok(Ok(())) => FailedEnd::Early,
            Ok(Err(error)) => FailedEnd::Error(error),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => FailedEnd::Panic(panic_message(payload.as_ref())),
                Err(_) => return tracing::debug!(%task, "task aborted"),
            },
        };
        match kind.on_failure() {
            OnFailure::Log => tracing::warn!(%task, %end, "a task failed; going on without it"),
            OnFailure::Stop => {
                tracing::error!(%task, %end, "a task failed; stopping the process");
                // The first failure is the cause; what follows it is most likely its effect.
                lock(&self.failure).get_or_insert(TaskFailure { task, end });
                self.shutdown.cancel();
            }
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

/// No code can panic while it holds one of these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
