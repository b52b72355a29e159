//! Partitions as a whole.

use headway::v1;
use headway_domain::{PartitionId, event::Caller};
use headway_store::{PartitionView, StoreError};

use super::{convert_out::timestamp, request, service::JobApi, status::ApiError};

impl JobApi {
    /// GetPartition.
    pub(super) async fn partition(&self, name: &str) -> Result<v1::Partition, ApiError> {
        let partition = named(name)?;
        Ok(wire(self.store().partition(&partition).await?))
    }

    /// SuspendPartition and ResumePartition.
    pub(super) async fn suspend(
        &self,
        name: &str,
        suspended: bool,
        caller: Caller,
    ) -> Result<v1::Partition, ApiError> {
        let partition = named(name)?;
        let walked = partition.clone();
        self.change(move |relay, reply| async move {
            let done: Result<(), StoreError> = async {
                let store = relay.store();
                store.set_suspended(&walked, suspended, &caller).await?;
                let mut after = 0;
                loop {
                    let (committed, next) = store.walk_partition(&walked, after).await?;
                    relay.publish(committed).await;
                    match next {
                        Some(next) => after = next,
                        None => return Ok(()),
                    }
                }
            }
            .await;
            // A caller that went away finds the partition as it asked for.
            drop(reply.send(done));
        })
        .await?;
        Ok(wire(self.store().partition(&partition).await?))
    }

    /// ListSuspendedPartitions.
    pub(super) async fn suspended(&self) -> Result<v1::ListSuspendedPartitionsResponse, ApiError> {
        let partitions = self.store().suspended_partitions().await?;
        Ok(v1::ListSuspendedPartitionsResponse {
            partitions: partitions.into_iter().map(wire).collect(),
        })
    }
}

fn named(name: &str) -> Result<PartitionId, ApiError> {
    Ok(request::partition(name).map_err(|error| error.renamed("name"))?)
}

fn wire(view: PartitionView) -> v1::Partition {
    let (suspended_by, since) = match view.suspension {
        Some(suspension) => (suspension.by, Some(suspension.since)),
        None => (String::new(), None),
    };
    v1::Partition {
        name: format!("partitions/{}", view.partition),
        suspended: since.is_some(),
        suspended_by,
        suspend_time: since.map(timestamp),
    }
}
