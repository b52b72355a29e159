//! JobService.

mod batch_create;
mod batches;
mod change;
mod control;
mod create;
mod explain;
mod failures;
mod read;
mod retry;
mod update;
pub(crate) mod view;
mod watch_job;
mod watch_jobs;

use futures::StreamExt;
use headway::v1::{self, job_service_server::JobService};
use headway_domain::error::Action;
use headway_store::StoreError;
use prost::Message;
use tonic::{Request, Response, Status};

pub(crate) use batches::batch_name;
pub(crate) use failures::filter as failure_filter;
pub(crate) use watch_job::WatchJob;

use super::{
    api::{Answer, Answers, Api, answer, received},
    status::ApiError,
};

#[tonic::async_trait]
impl JobService for Api {
    async fn create_job(&self, request: Request<v1::CreateJobRequest>) -> Answer<v1::Job> {
        let (request, caller) = received(request);
        answer(self.create_job(request, caller).await)
    }

    async fn batch_create_jobs(
        &self,
        request: Request<v1::BatchCreateJobsRequest>,
    ) -> Answer<v1::BatchCreateJobsResponse> {
        let (request, caller) = received(request);
        answer(self.batch_create_jobs(request, caller).await)
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Answer<v1::Job> {
        answer(self.get_job(request.into_inner()).await)
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Answer<v1::ListJobsResponse> {
        answer(self.list_jobs(request.into_inner()).await)
    }

    async fn count_jobs(
        &self,
        request: Request<v1::CountJobsRequest>,
    ) -> Answer<v1::CountJobsResponse> {
        answer(self.count_jobs(request.into_inner()).await)
    }

    type WatchJobStream = Answers<v1::WatchJobResponse>;

    async fn watch_job(
        &self,
        request: Request<v1::WatchJobRequest>,
    ) -> Answer<Self::WatchJobStream> {
        // Only for calls that bypass the router, which sends this method to `WatchJob`.
        let messages = self.watch_job(request.into_inner()).await?;
        Ok(Response::new(Box::pin(messages.map(|message| {
            let message = v1::WatchJobResponse::decode(message?);
            message.map_err(|error| {
                let broken = StoreError::Broken(error.to_string());
                Status::from(ApiError::Store(broken))
            })
        }))))
    }

    type WatchJobsStream = Answers<v1::WatchJobsResponse>;

    async fn watch_jobs(
        &self,
        request: Request<v1::WatchJobsRequest>,
    ) -> Answer<Self::WatchJobsStream> {
        answer(self.watch_jobs(request.into_inner()).await)
    }

    async fn pause_job(&self, request: Request<v1::PauseJobRequest>) -> Answer<v1::Job> {
        let (request, caller) = received(request);
        let control = self.control_job(request.name, request.uid, Action::Pause, caller);
        answer(control.await)
    }

    async fn resume_job(&self, request: Request<v1::ResumeJobRequest>) -> Answer<v1::Job> {
        let (request, caller) = received(request);
        let control = self.control_job(request.name, request.uid, Action::Resume, caller);
        answer(control.await)
    }

    async fn cancel_job(&self, request: Request<v1::CancelJobRequest>) -> Answer<v1::Job> {
        let (request, caller) = received(request);
        let control = self.control_job(request.name, request.uid, Action::Cancel, caller);
        answer(control.await)
    }

    async fn retry_job(&self, request: Request<v1::RetryJobRequest>) -> Answer<v1::Job> {
        let (request, caller) = received(request);
        answer(self.retry_job(request, caller).await)
    }

    async fn update_job(&self, request: Request<v1::UpdateJobRequest>) -> Answer<v1::Job> {
        let (request, caller) = received(request);
        answer(self.update_job(request, caller).await)
    }

    async fn delete_job(&self, request: Request<v1::DeleteJobRequest>) -> Answer<()> {
        let (request, caller) = received(request);
        answer(self.delete_job(request, caller).await)
    }

    async fn change_jobs(
        &self,
        request: Request<v1::ChangeJobsRequest>,
    ) -> Answer<v1::ChangeJobsResponse> {
        let (request, caller) = received(request);
        answer(self.change_jobs(request, caller).await)
    }

    async fn list_failures(
        &self,
        request: Request<v1::ListFailuresRequest>,
    ) -> Answer<v1::ListFailuresResponse> {
        answer(self.list_failures(request.into_inner()).await)
    }

    async fn list_batches(
        &self,
        request: Request<v1::ListBatchesRequest>,
    ) -> Answer<v1::ListBatchesResponse> {
        answer(self.list_batches(request.into_inner()).await)
    }

    async fn get_job_history(
        &self,
        request: Request<v1::GetJobHistoryRequest>,
    ) -> Answer<v1::JobHistory> {
        answer(self.get_job_history(request.into_inner()).await)
    }

    async fn explain_job(
        &self,
        request: Request<v1::ExplainJobRequest>,
    ) -> Answer<v1::ExplainJobResponse> {
        answer(self.explain_job(request.into_inner()).await)
    }
}
