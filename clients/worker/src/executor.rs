//! Runs handlers: many at once as futures of few tasks, so that a fast handler costs no task of its
//! own. Panics and timeouts end here as failures.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use headway_engine::{EndedBy, Finished, RunQueue, Runner, Verdict, Work, code};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::outcome::{Outcome, TaskError};
use crate::task::Task;

/// A handler's future.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Outcome, TaskError>> + Send>>;
/// A handler whose types are erased.
pub(crate) type Handler = Arc<dyn Fn(Task) -> HandlerFuture + Send + Sync>;

/// How many endings are handed over at once, at most.
const HAND_OVER: usize = 256;
/// How long an ending may wait for others to be handed over together while handlers keep the task
/// busy.
const HAND_OVER_AFTER: Duration = Duration::from_millis(1);

/// Runs items by a handler in this process.
pub(crate) struct Handlers {
    pub handler: Handler,
    /// How many handlers may run at once.
    pub concurrency: usize,
    /// Over how many tasks they are spread, at most.
    pub executors: usize,
    /// How long a handler may go on after its timeout.
    pub timeout_grace: Duration,
}

impl Runner for Handlers {
    fn start(self, queue: Arc<RunQueue>, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Vec<Finished>> {
        let count = self.executors.clamp(1, self.concurrency);
        let (sender, finished) = mpsc::channel(count * 4);
        for number in 0..count {
            // The first ones take what does not divide evenly.
            let slots = self.concurrency / count + usize::from(number < self.concurrency % count);
            let executor = Executor {
                handler: self.handler.clone(),
                queue: queue.clone(),
                finished: sender.clone(),
                slots,
                timeout_grace: self.timeout_grace,
            };
            tasks.spawn(executor.run());
        }
        finished
    }
}

/// A task that runs up to `slots` handlers at once.
struct Executor {
    /// What to run with.
    handler: Handler,
    /// Where items come from.
    queue: Arc<RunQueue>,
    /// Where endings go. When it is full the executor waits; the coordinator never waits for
    /// executors.
    finished: mpsc::Sender<Vec<Finished>>,
    /// How many handlers may run at once here.
    slots: usize,
    /// How long a handler may go on after its timeout.
    timeout_grace: Duration,
}

impl Executor {
    /// Runs until the coordinator is gone or the task is aborted.
    async fn run(self) {
        let mut running = FuturesUnordered::new();
        let mut taken: Vec<Work> = Vec::with_capacity(self.slots.min(HAND_OVER));
        let mut finished: Vec<Finished> = Vec::new();
        let mut first_finished = Instant::now();
        loop {
            let free = self.slots.saturating_sub(running.len());
            let now = Instant::now();
            if free > 0 {
                self.queue.take(free, now, &mut taken);
            }
            let drained = taken.len() < free || free == 0;
            for work in taken.drain(..) {
                let mut attempt = Box::pin(attempt(self.handler.clone(), work, self.timeout_grace));
                // Most quick handlers are ready at once and never need a place among the running.
                // One that is not is polled again there, with a waker that counts.
                match attempt
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                {
                    Poll::Ready(ended) => {
                        if finished.is_empty() {
                            first_finished = now;
                        }
                        finished.push(ended);
                    }
                    Poll::Pending => running.push(attempt),
                }
            }
            while finished.len() < HAND_OVER
                && let Some(Some(ended)) = running.next().now_or_never()
            {
                finished.push(ended);
            }
            let late = finished.len() >= HAND_OVER
                || now.duration_since(first_finished) >= HAND_OVER_AFTER;
            if !finished.is_empty() && (drained || late) {
                if self
                    .finished
                    .send(std::mem::take(&mut finished))
                    .await
                    .is_err()
                {
                    return;
                }
                // Lets the coordinator and others run even if this task never has to wait.
                tokio::task::yield_now().await;
                continue;
            }
            if !drained || !finished.is_empty() {
                continue;
            }
            let may_take = running.len() < self.slots;
            tokio::select! {
                Some(ended) = running.next(), if !running.is_empty() => {
                    first_finished = Instant::now();
                    finished.push(ended);
                }
                () = self.queue.arrived(), if may_take => {}
                () = self.finished.closed() => return,
            }
        }
    }
}

/// Runs one try to its end.
async fn attempt(handler: Handler, work: Work, grace: Duration) -> Finished {
    let Work {
        key,
        envelope,
        position,
    } = work;
    let timeout = Some(envelope.message.timeout_ms)
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis);
    let (token, deadline) = match timeout {
        // The timeout of one item must not cancel its siblings.
        Some(timeout) => (
            envelope.token.child_token(),
            Instant::now().checked_add(timeout),
        ),
        None => (envelope.token.clone(), None),
    };
    let task = Task::new(envelope.clone(), position, token.clone(), deadline);
    let result = match deadline {
        None => guarded(handler, task).await,
        Some(deadline) => within(guarded(handler, task), deadline, grace, &token).await,
    };
    let checked = match result {
        Ok(outcome) => outcome.0.checked(),
        Err(error) => Err(error.0),
    };
    let verdict = match (checked, envelope.ended_by()) {
        (Ok(ending), _) => Verdict::Ended(ending),
        (Err(_), Some(EndedBy::Discard)) => Verdict::Discarded,
        (Err(_), Some(EndedBy::Shutdown)) => Verdict::Returned,
        (Err(failure), None) => Verdict::Failed(failure),
    };
    Finished {
        key,
        position,
        verdict,
    }
}

/// Runs a handler and turns a panic into a failure.
async fn guarded(handler: Handler, task: Task) -> Result<Outcome, TaskError> {
    let handled = AssertUnwindSafe(async { handler(task).await })
        .catch_unwind()
        .await;
    handled.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Err(TaskError::retryable(
            code::PANIC,
            format!("the handler panicked: {text}"),
        ))
    })
}

/// Cancels the token at the deadline and drops the handler's future a grace later.
async fn within(
    handling: impl Future<Output = Result<Outcome, TaskError>>,
    deadline: Instant,
    grace: Duration,
    token: &CancellationToken,
) -> Result<Outcome, TaskError> {
    let mut handling = std::pin::pin!(handling);
    if let Ok(result) = tokio::time::timeout_at(deadline, handling.as_mut()).await {
        return result;
    }
    token.cancel();
    match tokio::time::timeout(grace, handling).await {
        // It was late, but what it did is done.
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) | Err(_) => Err(TaskError::retryable(
            code::TIMEOUT,
            "the handler took longer than the job's item timeout",
        )),
    }
}
