//! The calls about many jobs at once.

use headway::v1::{
    BatchChangeJobsRequest, BatchChangeJobsResponse, BatchCreateJobsEntry, BatchCreateJobsRequest,
    BatchCreateJobsResult,
};
use uuid::Uuid;

use crate::{Client, Error, retry::Repeat};

/// What is done to each job that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// BatchPauseJobs
    Pause,
    /// BatchResumeJobs
    Resume,
    /// BatchCancelJobs
    Cancel,
    /// BatchRetryJobs
    Retry,
    /// BatchDeleteJobs
    Delete,
}

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
            .call(Repeat::Harmless, request, |mut stub, request| async move {
                stub.batch_create_jobs(request).await
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
        action: BulkAction,
        mut request: BatchChangeJobsRequest,
    ) -> Result<BatchChangeJobsResponse, Error> {
        if request.job_id.is_empty() && request.request_id.is_empty() {
            request.request_id = Uuid::new_v4().to_string();
        }
        self.call(
            Repeat::Harmless,
            request,
            move |mut stub, request| async move {
                match action {
                    BulkAction::Pause => stub.batch_pause_jobs(request).await,
                    BulkAction::Resume => stub.batch_resume_jobs(request).await,
                    BulkAction::Cancel => stub.batch_cancel_jobs(request).await,
                    BulkAction::Retry => stub.batch_retry_jobs(request).await,
                    BulkAction::Delete => stub.batch_delete_jobs(request).await,
                }
            },
        )
        .await
    }
}
