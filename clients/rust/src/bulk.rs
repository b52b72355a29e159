//! The calls about many jobs at once.

use headway::v1::{
    BatchCreateJobsEntry, BatchCreateJobsRequest, BatchCreateJobsResult, ChangeJobsRequest,
    ChangeJobsResponse,
};
use uuid::Uuid;

use crate::{Client, Error, retry::Repeat};

impl Client {
    /// Creates up to 1,000 jobs; the result of each, in their order. Entries without a request id are given one, so that a repeated
    /// call makes no job twice.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or too many jobs. A job that is refused has its error in its result.
    pub async fn create_jobs(
        &self,
        partition: &str,
        mut jobs: Vec<BatchCreateJobsEntry>,
    ) -> Result<Vec<BatchCreateJobsResult>, Error> {
        for job in &mut jobs {
            if job.job_id.is_empty() && job.request_id.is_empty() {
                job.request_id = Uuid::new_v4().to_string();
            }
        }
        let request = BatchCreateJobsRequest {
            parent: format!("partitions/{partition}"),
            jobs,
        };
        let response = self
            .call(Repeat::Harmless, request, |mut stubs, request| async move {
                stubs.jobs.batch_create_jobs(request).await
            })
            .await?;
        Ok(response.results)
    }

    /// Changes every job that matches, as a job of its own: watch the one in the answer. A request without an id is given one, so
    /// that a repeated call begins nothing twice.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or filter.
    pub async fn change_jobs(
        &self,
        mut request: ChangeJobsRequest,
    ) -> Result<ChangeJobsResponse, Error> {
        if request.job_id.is_empty() && request.request_id.is_empty() {
            request.request_id = Uuid::new_v4().to_string();
        }
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.change_jobs(request).await
        })
        .await
    }
}
