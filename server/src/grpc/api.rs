//! What all methods have at hand.

use std::{
    pin::Pin,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::Stream;
use headway_broker::Broker;
use headway_domain::events::Caller;
use headway_relay::Relay;
use headway_runtime::tasks;
use headway_store::{Store, StoreError};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status};

use super::{job_types::JobTypes, spec::Splitters, status::ApiError};
use crate::{
    ServerParts,
    watch::{Hub, Partitions},
};

/// A page of an answer ends early at this size, so that clients which take 4 MiB can read it.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// The answer of a method.
pub(crate) type Answer<T> = Result<Response<T>, Status>;

/// The answers of a streaming method.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// All services.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    relay: Relay,
    pub(crate) hub: Hub,
    pub(crate) partitions: Partitions,
    pub(crate) splitters: Arc<Splitters>,
    pub(crate) job_types: JobTypes,
    publishing: Arc<Semaphore>,
    tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl Api {
    /// The service over these parts. Changes are committed and published in `tasks`.
    pub(crate) fn new(
        parts: &ServerParts,
        hub: Hub,
        partitions: Partitions,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            relay: parts.relay.clone(),
            hub,
            partitions,
            splitters: Arc::new(Splitters {
                names: parts.splitters.clone(),
                registry: parts.registry.clone(),
            }),
            job_types: JobTypes {
                files: parts.job_types.clone(),
                variables: Arc::new(parts.job_type_variables.clone()),
                evaluator: parts.evaluator.clone(),
            },
            publishing: Arc::new(Semaphore::new(parts.limits.publishing.max(1))),
            tasks,
            stopping,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        self.relay.store()
    }

    pub(crate) fn broker(&self) -> &dyn Broker {
        self.relay.broker().as_ref()
    }

    /// Runs a change to its end, publishing included, also when the caller goes away; answers as
    /// soon as it is committed. `change` sends its answer between the two.
    pub(crate) async fn change<T, Fut>(
        &self,
        change: impl FnOnce(Relay, oneshot::Sender<Result<T, StoreError>>) -> Fut,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // When the broker is slow, changes wait here instead of piling up behind it.
        let permit: OwnedSemaphorePermit = self
            .publishing
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| ApiError::Stopping)?;
        let (reply, answer) = oneshot::channel();
        let change = change(self.relay.clone(), reply);
        tasks::spawn(self.tasks.track_future(async move {
            change.await;
            drop(permit);
        }));
        Ok(answer.await.map_err(|_| ApiError::Stopping)??)
    }
}

/// A request and who sent it, as [`crate::identity`] found it.
pub(crate) fn received<T>(request: Request<T>) -> (T, Caller) {
    let caller = request.extensions().get::<Caller>().cloned();
    (request.into_inner(), caller.unwrap_or_default())
}

/// What a method found, as its answer.
pub(crate) fn answer<T>(found: Result<T, ApiError>) -> Answer<T> {
    Ok(Response::new(found?))
}

/// How many entries fit into one answer; at least one.
pub(crate) fn fitting(entries: &[impl Message]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.encoded_len();
        bytes <= PAGE_BYTES
    });
    fit.count().max(1).min(entries.len())
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use headway::v1;

    use super::*;

    #[test]
    fn pages_end_where_clients_stop_reading() {
        let of = |bytes: usize| v1::Failure {
            details: "x".repeat(bytes),
            ..v1::Failure::default()
        };
        assert_eq!(fitting(&[] as &[v1::Failure]), 0);
        assert_eq!(fitting(&[of(10), of(10)]), 2);
        assert_eq!(fitting(&[of(2 * 1024 * 1024), of(2 * 1024 * 1024)]), 1);
        assert_eq!(fitting(&[of(5 * 1024 * 1024), of(1)]), 1);
    }
}
