//! The calls about jobs.

use std::time::Instant;

use headway::v1::{
    BatchCreateJobsRequest, BatchCreateJobsResponse, CancelJobRequest, ChangeJobsRequest,
    ChangeJobsResponse, CountJobsRequest, CountJobsResponse, CreateJobRequest, DeleteJobRequest,
    ExplainJobRequest, ExplainJobResponse, GetJobHistoryRequest, GetJobRequest, Job, JobHistory,
    JobReason, ListBatchesRequest, ListBatchesResponse, ListFailuresRequest, ListFailuresResponse,
    ListJobsRequest, ListJobsResponse, PauseJobRequest, ResumeJobRequest, RetryJobRequest,
    UpdateJobRequest, WatchJobRequest, WatchJobResponse, WatchJobsRequest, WatchJobsResponse,
    job_service_server::JobService,
};
use tonic::{Request, Response, Status};

use crate::fake::{Answers, Fake, play};

#[tonic::async_trait]
impl JobService for Fake {
    async fn create_job(
        &self,
        request: Request<CreateJobRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("create", request.into_inner().request_id)
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        self.job("get", request.into_inner().name)
    }

    async fn list_jobs(
        &self,
        request: Request<ListJobsRequest>,
    ) -> Result<Response<ListJobsResponse>, Status> {
        let mut script = self.script();
        let token = request.into_inner().page_token;
        script.calls.push(("list", token, Instant::now()));
        let page = script.pages.pop_front();
        page.unwrap_or_else(|| Ok(ListJobsResponse::default()))
            .map(Response::new)
    }

    type WatchJobStream = Answers<WatchJobResponse>;

    async fn watch_job(
        &self,
        request: Request<WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let mut script = self.script();
        let name = request.into_inner().name;
        script.calls.push(("watch", name, Instant::now()));
        play(script.watches.pop_front(), |job| WatchJobResponse {
            job: Some(job),
            ..WatchJobResponse::default()
        })
    }

    type WatchJobsStream = Answers<WatchJobsResponse>;

    async fn watch_jobs(
        &self,
        request: Request<WatchJobsRequest>,
    ) -> Result<Response<Self::WatchJobsStream>, Status> {
        let mut script = self.script();
        let token = request.into_inner().resume_token;
        script.calls.push(("watch jobs", token, Instant::now()));
        play(script.jobs_watches.pop_front(), |message| message)
    }

    async fn list_batches(
        &self,
        request: Request<ListBatchesRequest>,
    ) -> Result<Response<ListBatchesResponse>, Status> {
        let mut script = self.script();
        let ListBatchesRequest {
            parent,
            parent_batch,
            ..
        } = request.into_inner();
        let asked = [parent, parent_batch].join(" ");
        let asked = asked.trim_end().to_owned();
        script.calls.push(("batches", asked, Instant::now()));
        let page = script.batch_pages.pop_front();
        Ok(Response::new(page.unwrap_or_default()))
    }

    async fn batch_create_jobs(
        &self,
        _request: Request<BatchCreateJobsRequest>,
    ) -> Result<Response<BatchCreateJobsResponse>, Status> {
        Ok(Response::new(BatchCreateJobsResponse::default()))
    }

    async fn explain_job(
        &self,
        request: Request<ExplainJobRequest>,
    ) -> Result<Response<ExplainJobResponse>, Status> {
        let name = request.into_inner().name;
        let reason = JobReason {
            message: "it waits for its start time".to_owned(),
            ..JobReason::default()
        };
        Ok(Response::new(ExplainJobResponse {
            name,
            reasons: vec![reason],
            ..ExplainJobResponse::default()
        }))
    }

    async fn update_job(
        &self,
        request: Request<UpdateJobRequest>,
    ) -> Result<Response<Job>, Status> {
        let job = request.into_inner().job.unwrap_or_default();
        self.job("update", job.name)
    }

    async fn count_jobs(
        &self,
        _: Request<CountJobsRequest>,
    ) -> Result<Response<CountJobsResponse>, Status> {
        Ok(Response::new(self.script().counts.clone()))
    }

    async fn get_job_history(
        &self,
        _: Request<GetJobHistoryRequest>,
    ) -> Result<Response<JobHistory>, Status> {
        Ok(Response::new(self.script().history.clone()))
    }

    async fn pause_job(&self, request: Request<PauseJobRequest>) -> Result<Response<Job>, Status> {
        self.job("pause", request.into_inner().name)
    }

    async fn resume_job(
        &self,
        request: Request<ResumeJobRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("resume", request.into_inner().name)
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("cancel", request.into_inner().name)
    }

    async fn retry_job(&self, request: Request<RetryJobRequest>) -> Result<Response<Job>, Status> {
        self.job("retry", request.into_inner().name)
    }

    async fn delete_job(&self, request: Request<DeleteJobRequest>) -> Result<Response<()>, Status> {
        self.job("delete", request.into_inner().name)?;
        Ok(Response::new(()))
    }

    async fn list_failures(
        &self,
        _: Request<ListFailuresRequest>,
    ) -> Result<Response<ListFailuresResponse>, Status> {
        Ok(Response::new(ListFailuresResponse::default()))
    }

    async fn change_jobs(
        &self,
        request: Request<ChangeJobsRequest>,
    ) -> Result<Response<ChangeJobsResponse>, Status> {
        self.change(request.into_inner())
    }
}
