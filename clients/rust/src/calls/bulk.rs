//! Many jobs at once.

use headway::v1::{
    BatchCreateJobsEntry, BatchCreateJobsRequest, BatchCreateJobsResponse, ChangeJobsRequest,
    ChangeJobsResponse, Job, batch_create_jobs_result::Result as Outcome,
};
use uuid::Uuid;

use crate::{Client, Error, retry::Repeat};

impl Client {
    /// Creates up to 1,000 jobs; the result of each, in their order. See
    /// [`Client::batch_create_jobs`].
    ///
    /// # Errors
    /// As [`Client::batch_create_jobs`].
    pub async fn create_jobs(
        &self,
        partition: &str,
        jobs: Vec<BatchCreateJobsEntry>,
    ) -> Result<Vec<Result<Job, Error>>, Error> {
        let request = BatchCreateJobsRequest {
            parent: format!("partitions/{partition}"),
            jobs,
            ..BatchCreateJobsRequest::default()
        };
        let response = self.batch_create_jobs(request).await?;
        let results = response.results.into_iter();
        Ok(results
            .map(|result| match result.result {
                Some(Outcome::Job(job)) => Ok(job),
                Some(Outcome::Error(status)) => Err(Error::from_rpc(&status)),
                None => Err(Error::from_rpc(&tonic_types::Status {
                    code: tonic::Code::Internal.into(),
                    message: "the server sent no result for this job".to_owned(),
                    details: Vec::new(),
                })),
            })
            .collect())
    }

    /// Creates up to 1,000 jobs, each with a result of its own. Entries without a job id and a
    /// request id are given a request id, so that a repeated call makes no job twice.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or too many jobs. A job that is refused has its error
    /// in its result.
    pub async fn batch_create_jobs(
        &self,
        mut request: BatchCreateJobsRequest,
    ) -> Result<BatchCreateJobsResponse, Error> {
        for job in &mut request.jobs {
            if job.job_id.is_empty() && job.request_id.is_empty() {
                job.request_id = Uuid::new_v4().to_string();
            }
        }
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.batch_create_jobs(request).await
        })
        .await
    }

    /// Changes every job that matches, as a job of its own: watch the one in the answer. A request
    /// without an id is given one, so that a repeated call begins nothing twice.
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
