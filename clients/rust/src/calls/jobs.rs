//! Creating, reading, changing and deleting jobs.

use futures::Stream;
use headway::v1::{
    CountJobsRequest, CreateJobRequest, DeleteJobRequest, ExplainJobRequest, ExplainJobResponse,
    GetJobHistoryRequest, GetJobRequest, Job, JobSample, JobSpec, JobStateCount, ListJobsRequest,
    ListJobsResponse, UpdateJobRequest,
};

use crate::{
    Client, Error, JobName, JobTarget,
    client::{mask, pages},
    retry::Repeat,
};

/// A request to create a job with `spec` in `partition`, under an id that the server chooses.
pub fn create_request(partition: &str, spec: JobSpec) -> CreateJobRequest {
    CreateJobRequest {
        parent: format!("partitions/{partition}"),
        spec: Some(spec),
        ..CreateJobRequest::default()
    }
}

impl Client {
    /// Creates a job. A request without job id and request id is given a random request id, so
    /// that its retries cannot make a second job.
    ///
    /// # Errors
    /// As `CreateJob` answers: `INVALID_ARGUMENT` with field violations, `ALREADY_EXISTS` with
    /// resource info.
    pub async fn create_job(&self, mut request: CreateJobRequest) -> Result<Job, Error> {
        if request.job_id.is_empty() && request.request_id.is_empty() {
            request.request_id = uuid::Uuid::new_v4().to_string();
        }
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.create_job(request).await
        })
        .await
    }

    /// Reads one job.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn get_job(&self, name: &JobName) -> Result<Job, Error> {
        let name = name.to_string();
        let request = GetJobRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.get_job(request).await
        })
        .await
    }

    /// Reads one page of a partition's jobs, newest first.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad filter or page token.
    pub async fn list_jobs(&self, request: ListJobsRequest) -> Result<ListJobsResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.list_jobs(request).await
        })
        .await
    }

    /// Reads the jobs of all pages, one page at a time as they are taken, from
    /// `request.page_token` on. Ends after the first error.
    pub fn jobs(
        &self,
        request: ListJobsRequest,
    ) -> impl Stream<Item = Result<Job, Error>> + Send + 'static {
        let client = self.clone();
        pages(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let mut request = request.clone();
            request.page_token = page_token;
            async move {
                let page = client.list_jobs(request).await?;
                Ok((page.jobs, page.next_page_token))
            }
        })
    }

    /// Counts the jobs of a partition by state; states without jobs are left out.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition.
    pub async fn count_jobs(&self, partition: &str) -> Result<Vec<JobStateCount>, Error> {
        self.count_jobs_like(partition, "").await
    }

    /// As [`Client::count_jobs`], of jobs that a filter is true of: see `ListJobsRequest.filter`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or filter.
    pub async fn count_jobs_like(
        &self,
        partition: &str,
        filter: &str,
    ) -> Result<Vec<JobStateCount>, Error> {
        let request = CountJobsRequest {
            parent: format!("partitions/{partition}"),
            filter: filter.to_owned(),
        };
        let response = self
            .call(Repeat::Harmless, request, |mut stubs, request| async move {
                stubs.jobs.count_jobs(request).await
            })
            .await?;
        Ok(response.counts)
    }

    /// Reads how far a job was over its life, oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn job_history(&self, name: &JobName) -> Result<Vec<JobSample>, Error> {
        let name = name.to_string();
        let request = GetJobHistoryRequest { name };
        let response = self
            .call(Repeat::Harmless, request, |mut stubs, request| async move {
                stubs.jobs.get_job_history(request).await
            })
            .await?;
        Ok(response.samples)
    }

    /// Says why a job does not run, or does not end.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn explain_job(&self, name: &JobName) -> Result<ExplainJobResponse, Error> {
        let name = name.to_string();
        let request = ExplainJobRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.explain_job(request).await
        })
        .await
    }

    /// Changes what is named of a job's spec: `spec.labels`, `spec.description`, `spec.priority`,
    /// `spec.max_in_flight`, `spec.failure_policy`, `spec.retention`.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT` with field violations.
    pub async fn update_job(
        &self,
        job: impl Into<JobTarget>,
        spec: JobSpec,
        paths: &[&str],
    ) -> Result<Job, Error> {
        let JobTarget { name, uid } = job.into();
        let job = Job {
            name,
            spec: Some(spec),
            ..Job::default()
        };
        let request = UpdateJobRequest {
            job: Some(job),
            update_mask: mask(paths),
            uid,
        };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.update_job(request).await
        })
        .await
    }

    /// Removes a job; one that has not ended is cancelled first. It is sent a second time only
    /// if the server cannot have seen the first: by then another job may have the name.
    ///
    /// # Errors
    /// `NOT_FOUND`, `UNAVAILABLE`.
    pub async fn delete_job(&self, job: impl Into<JobTarget>) -> Result<(), Error> {
        let JobTarget { name, uid } = job.into();
        let request = DeleteJobRequest { name, uid };
        self.call(Repeat::Harmful, request, |mut stubs, request| async move {
            stubs.jobs.delete_job(request).await
        })
        .await
    }
}
