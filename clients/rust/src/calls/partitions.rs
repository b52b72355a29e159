//! Partitions as a whole.

use headway::v1::{
    GetPartitionRequest, ListSuspendedPartitionsRequest, Partition, ResumePartitionRequest,
    Retention, SuspendPartitionRequest, UpdatePartitionRequest,
};

use crate::{Client, Error, client::mask, retry::Repeat};

/// Entries of a page.
const PAGE: i32 = 1000;

impl Client {
    /// Reads a partition as a whole.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition.
    pub async fn get_partition(&self, partition: &str) -> Result<Partition, Error> {
        let name = format!("partitions/{partition}");
        let request = GetPartitionRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.partitions.get_partition(request).await
        })
        .await
    }

    /// Holds every job of a partition, whatever else is done to it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition.
    pub async fn suspend_partition(&self, partition: &str) -> Result<Partition, Error> {
        let name = format!("partitions/{partition}");
        let request = SuspendPartitionRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.partitions.suspend_partition(request).await
        })
        .await
    }

    /// Says how long the jobs of a partition are kept where they do not say it; holds for jobs that
    /// are created later.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or retention.
    pub async fn set_retention(
        &self,
        partition: &str,
        retention: Retention,
    ) -> Result<Partition, Error> {
        let partition = Partition {
            name: format!("partitions/{partition}"),
            retention: Some(retention),
            ..Partition::default()
        };
        self.update_partition(partition, &["retention"]).await
    }

    /// Changes what is named of a partition's settings: `weight`, `max_open_jobs`,
    /// `max_items_in_flight`, `retention` or one state of it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or value, `ABORTED` if the settings do not have the
    /// etag that is set.
    pub async fn update_partition(
        &self,
        partition: Partition,
        paths: &[&str],
    ) -> Result<Partition, Error> {
        let request = UpdatePartitionRequest {
            partition: Some(partition),
            update_mask: mask(paths),
            ..UpdatePartitionRequest::default()
        };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.partitions.update_partition(request).await
        })
        .await
    }

    /// Lets the jobs of a partition go on.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition.
    pub async fn resume_partition(&self, partition: &str) -> Result<Partition, Error> {
        let name = format!("partitions/{partition}");
        let request = ResumePartitionRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.partitions.resume_partition(request).await
        })
        .await
    }

    /// Lists the partitions that are suspended, by name.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn suspended_partitions(&self) -> Result<Vec<Partition>, Error> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListSuspendedPartitionsRequest {
                page_size: PAGE,
                page_token,
            };
            let response = self
                .call(Repeat::Harmless, request, |mut stubs, request| async move {
                    stubs.partitions.list_suspended_partitions(request).await
                })
                .await?;
            all.extend(response.partitions);
            page_token = response.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }
}
