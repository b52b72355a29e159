//! What all methods of JobService have at hand.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use headway::v1;
use headway_broker::Broker;
use headway_relay::Relay;
use headway_store::{JobView, Store, StoreError};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{convert_in::Splitters, convert_out, job_types::JobTypes, status::ApiError};
use crate::{
    ServerParts,
    watch::{Hub, Partitions},
};

/// A page of an answer ends early at this size, so that clients which take 4 MiB can read it.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// JobService.
#[derive(Debug, Clone)]
pub(crate) struct JobApi {
    relay: Relay,
    pub(super) hub: Hub,
    pub(super) partitions: Partitions,
    pub(super) splitters: Arc<Splitters>,
    pub(super) job_types: JobTypes,
    publishing: Arc<Semaphore>,
    tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
}

impl JobApi {
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

    pub(super) fn store(&self) -> &Store {
        self.relay.store()
    }

    pub(super) fn broker(&self) -> &dyn Broker {
        self.relay.broker().as_ref()
    }

    /// Runs a change to its end, publishing included, also when the caller goes away; answers as soon as it is
    /// committed. `change` sends its answer between the two.
    pub(super) async fn change<T, Fut>(
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
        self.tasks.spawn(async move {
            change.await;
            drop(permit);
        });
        Ok(answer.await.map_err(|_| ApiError::Stopping)??)
    }
}

pub(super) fn whole(view: JobView) -> Result<v1::Job, ApiError> {
    let body = view.body.as_deref().unwrap_or_default();
    Ok(convert_out::full(&view, body)?)
}

/// How many entries fit into one answer; at least one.
pub(super) fn fitting(entries: &[impl Message]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.encoded_len();
        bytes <= PAGE_BYTES
    });
    fit.count().max(1).min(entries.len())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
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
