//! When the handlers of single tasks started, told to whoever created them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use headway_client::{Client, v1::CreateJobRequest};
use headway_worker::{Outcome, Task, TaskError};
use tokio::sync::oneshot;

/// The task type whose start is told.
pub(crate) const PROBE: &str = "probe";

/// How long a single task may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who waits for which job's start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starts(Arc<Mutex<HashMap<String, oneshot::Sender<Instant>>>>);

impl Starts {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handler that tells the starts of probes and takes this long for everything else.
    pub(crate) fn handler(
        &self,
        time: Duration,
    ) -> impl Fn(Task) -> futures::future::BoxFuture<'static, Result<Outcome, TaskError>>
    + Send
    + Sync
    + 'static {
        let starts = self.clone();
        move |task| {
            let now = Instant::now();
            if task.task_type() == PROBE {
                // A duplicate finds nobody waiting.
                if let Some(waiting) = starts.lock().remove(task.job()) {
                    // Whoever gave up waiting has said so.
                    let _ = waiting.send(now);
                }
                return Box::pin(std::future::ready(Ok(Outcome::done())));
            }
            if time.is_zero() {
                return Box::pin(std::future::ready(Ok(Outcome::done())));
            }
            Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(Outcome::done())
            })
        }
    }

    /// Creates a probe; the time from the call to the start of its handler.
    pub(crate) async fn measure(
        &self,
        client: &Client,
        request: CreateJobRequest,
    ) -> anyhow::Result<Duration> {
        let name = format!("{}/jobs/{}", request.parent, request.job_id);
        let (sender, started) = oneshot::channel();
        self.lock().insert(name.clone(), sender);
        let begin = Instant::now();
        client.create_job(request).await?;
        let started = tokio::time::timeout(PATIENCE, started)
            .await
            .with_context(|| format!("the handler of {name} did not start within 60 s"))??;
        Ok(started.saturating_duration_since(begin))
    }
}
