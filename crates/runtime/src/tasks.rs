//! Background tasks, none of which fails unseen. A [`Supervisor`] owns those that run as long as
//! the process: each has a name and a kind, and the end of all of them is awaited with a deadline.
//! [`spawn`] starts a task that ends earlier, or that another task awaits.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long [`Supervisor::join`] waits for aborted tasks to give up. Only a task that blocks its
/// thread takes longer, and waiting does not help there.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// Starts a task that no [`Supervisor`] owns. A panic of the task is logged with the place of this
/// call, and then reaches whoever awaits the handle; nobody has to.
///
/// # Panics
/// Outside a tokio runtime.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that starts a task after it has seen to its panic"
)]
pub fn spawn<T>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T>
where
    T: Send + 'static,
{
    tokio::spawn(log_panic(Location::caller(), task))
}

/// Runs a future, and logs its panic before it passes it on.
async fn log_panic<T>(place: &'static Location<'static>, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| {
            let message = panic_message(payload.as_ref());
            tracing::error!(spawned_at = %place, panic = %message, "a task panicked; its work is not done");
            resume_unwind(payload)
        })
    })
    .await
}

/// What a task is to its process, and so how it learns of the shutdown.
///
/// A task of either kind runs until the shutdown: an error, a panic or an earlier end stops the
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Has something to finish at the shutdown, and is told by the token: a listener, a consumer.
    Service,
    /// Can be stopped at any await, and is aborted at the shutdown: a sweeper, a poller.
    Loop,
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
    /// The first failure of a task.
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
    #[expect(
        clippy::disallowed_methods,
        reason = "the second task sees the panic of the first and cannot panic itself"
    )]
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
            if kind == TaskKind::Loop {
                tokio::select! {
                    biased;
                    end = &mut handle => return shared.ended(id, name, end),
                    () = shared.shutdown.cancelled() => handle.abort(),
                }
            }
            let end = handle.await;
            shared.ended(id, name, end);
        });
    }

    /// Waits until the shutdown token is cancelled or every task has ended, then at most `deadline`
    /// for the tasks to finish, and aborts what is left. The token is cancelled when it returns.
    ///
    /// # Errors
    /// The first failure of a task, and the names of the tasks that did not end in time.
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
    fn ended(&self, id: u64, task: String, end: Result<anyhow::Result<()>, JoinError>) {
        lock(&self.running).remove(&id);
        let end = match end {
            Ok(Ok(())) if self.shutdown.is_cancelled() => {
                return tracing::debug!(%task, "task ended");
            }
            Ok(Ok(())) => FailedEnd::Early,
            Ok(Err(error)) => FailedEnd::Error(error),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => FailedEnd::Panic(panic_message(payload.as_ref())),
                Err(_) => return tracing::debug!(%task, "task aborted"),
            },
        };
        tracing::error!(%task, %end, "a task failed; stopping the process");
        // The first failure is the cause; what follows it is most likely its effect.
        lock(&self.failure).get_or_insert(TaskFailure { task, end });
        self.shutdown.cancel();
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
