//! The worker of jobs over jobs: does to each what was asked for. A job that is gone, or whose
//! state does not allow it any more, needs nothing: it counts as done.

use std::{future::pending, sync::Arc};

use anyhow::Context;
use headway_domain::{
    Error, JobId, JobName, JobUid,
    error::Action,
    events::Caller,
    jobs::bulk::{BulkAction, JOBS},
};
use headway_relay::Relay;
use headway_store::StoreError;
use headway_worker::{Outcome, Task, TaskError, Worker};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{deletions::Deletions, requests::Requests};

/// Items that one process has under way at once: enough for deletions to share transactions.
const CONCURRENCY: usize = 100;
/// Jobs that one process changes at once: few, so that the work of others keeps most of the
/// database.
const CHANGES: usize = 2;

/// Works until `shutdown`.
pub(crate) async fn worker(relay: Relay, shutdown: CancellationToken) -> anyhow::Result<()> {
    let broker = relay.broker().clone();
    let (deletions, deleting) = Deletions::begin(relay.clone());
    let tools = Tools {
        deletions,
        changes: Arc::new(Semaphore::new(CHANGES)),
        requests: Arc::default(),
        relay,
    };
    let worker = Worker::builder()
        .broker(broker)
        .pipe(JOBS)
        .name("headway")
        .concurrency(CONCURRENCY)
        .handler(move |task: Task| {
            let tools = tools.clone();
            async move { tools.handle(&task).await }
        })
        .build()?;
    // Without its deletions the worker would try its items again forever.
    let broken = async {
        match deleting.await {
            Ok(()) => pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        worked = worker.run(shutdown) => Ok(worked?),
        error = broken => Err(error).context("the task that deletes jobs has failed"),
    }
}

/// What handlers share.
#[derive(Debug, Clone)]
struct Tools {
    relay: Relay,
    deletions: Deletions,
    changes: Arc<Semaphore>,
    requests: Arc<Requests>,
}

fn unavailable() -> TaskError {
    let why = "the database is not available at the moment";
    TaskError::retryable("UNAVAILABLE", why)
}

impl Tools {
    async fn handle(&self, task: &Task) -> Result<Outcome, TaskError> {
        let fatal = |what: &str| TaskError::fatal("BAD_TASK", format!("the item has {what}"));
        // The partition is that of the job that asks, whatever the payload says.
        let asking: JobName = task.job().parse().map_err(|_| fatal("no job"))?;
        let uid = JobUid::from_slice(task.job_uid()).ok_or_else(|| fatal("no job"))?;
        let request = match self.requests.of(&self.relay, &asking, uid).await {
            Ok(request) => request.ok_or_else(|| fatal("a job that changes no others"))?,
            Err(error) => {
                tracing::warn!(job = %asking, %error, "cannot read the request of a bulk job; trying again");
                return Err(unavailable());
            }
        };
        let job: String = task.payload()?;
        let name = JobName {
            partition: asking.partition,
            job: JobId::new(job).map_err(|_| fatal("no id of a job"))?,
        };
        let action = request.action;
        match self.act(action, &name, request.caller).await {
            Ok(()) => Ok(Outcome::done()),
            Err(StoreError::Domain(Error::JobNotFound(_) | Error::IllegalTransition { .. })) => {
                Ok(Outcome::done())
            }
            Err(StoreError::Domain(Error::Cycle { cycle, .. })) => Err(TaskError::fatal(
                "PREREQUISITE_CYCLE",
                format!(
                    "job {name} would wait for itself: {}",
                    cycle.join(" needs ")
                ),
            )),
            Err(StoreError::Unavailable(why) | StoreError::Duplicate(why)) => {
                tracing::warn!(job = %name, error = %why, "cannot change a job of a bulk job now; trying again");
                Err(unavailable())
            }
            Err(error) => {
                tracing::error!(job = %name, %error, "cannot change a job of a bulk job; its item fails");
                Err(TaskError::fatal(
                    "INTERNAL",
                    format!("{action} of job {name} failed; the server's log says why"),
                ))
            }
        }
    }

    async fn act(
        &self,
        action: BulkAction,
        name: &JobName,
        caller: Caller,
    ) -> Result<(), StoreError> {
        let action = match action {
            BulkAction::Delete => return self.deletions.delete(name.clone(), caller).await,
            BulkAction::Pause => Action::Pause,
            BulkAction::Resume => Action::Resume,
            BulkAction::Cancel => Action::Cancel,
            BulkAction::Retry => Action::Retry,
        };
        let _turn = self.changes.acquire().await;
        let store = self.relay.store();
        let controlled = store.control_job(name, action, &caller).await?;
        self.relay.publish(controlled.committed).await;
        Ok(())
    }
}
