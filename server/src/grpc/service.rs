//! The methods of JobService.

use futures::StreamExt;
use headway::v1::{self, job_service_server::JobService};
use headway_domain::{bulk::BulkAction, error::Action};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{api::JobApi, request, watching::Answers};

#[tonic::async_trait]
impl JobService for JobApi {
    type WatchJobStream = Answers<v1::WatchJobResponse>;

    async fn create_job(
        &self,
        request: Request<v1::CreateJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        Ok(Response::new(self.create(request).await?))
    }

    async fn batch_create_jobs(
        &self,
        request: Request<v1::BatchCreateJobsRequest>,
    ) -> Result<Response<v1::BatchCreateJobsResponse>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.create_many(request, caller).await?))
    }

    async fn batch_pause_jobs(
        &self,
        request: Request<v1::BatchChangeJobsRequest>,
    ) -> Result<Response<v1::BatchChangeJobsResponse>, Status> {
        self.answer_change(BulkAction::Pause, request).await
    }

    async fn batch_resume_jobs(
        &self,
        request: Request<v1::BatchChangeJobsRequest>,
    ) -> Result<Response<v1::BatchChangeJobsResponse>, Status> {
        self.answer_change(BulkAction::Resume, request).await
    }

    async fn batch_cancel_jobs(
        &self,
        request: Request<v1::BatchChangeJobsRequest>,
    ) -> Result<Response<v1::BatchChangeJobsResponse>, Status> {
        self.answer_change(BulkAction::Cancel, request).await
    }

    async fn batch_retry_jobs(
        &self,
        request: Request<v1::BatchChangeJobsRequest>,
    ) -> Result<Response<v1::BatchChangeJobsResponse>, Status> {
        self.answer_change(BulkAction::Retry, request).await
    }

    async fn batch_delete_jobs(
        &self,
        request: Request<v1::BatchChangeJobsRequest>,
    ) -> Result<Response<v1::BatchChangeJobsResponse>, Status> {
        self.answer_change(BulkAction::Delete, request).await
    }

    async fn get_job(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        Ok(Response::new(self.get(&request.get_ref().name).await?))
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn watch_job(
        &self,
        request: Request<v1::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        // Unless it is called past the router, which sends it to `WatchedJobs`.
        let messages = self.follow_job(request.into_inner()).await?;
        Ok(Response::new(Box::pin(messages.map(|message| {
            let message = v1::WatchJobResponse::decode(message?);
            message.map_err(|error| Status::internal(error.to_string()))
        }))))
    }

    async fn pause_job(
        &self,
        request: Request<v1::PauseJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        let job = self.control(name, Action::Pause, caller).await?;
        Ok(Response::new(job))
    }

    async fn resume_job(
        &self,
        request: Request<v1::ResumeJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        let job = self.control(name, Action::Resume, caller).await?;
        Ok(Response::new(job))
    }

    async fn cancel_job(
        &self,
        request: Request<v1::CancelJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        let job = self.control(name, Action::Cancel, caller).await?;
        Ok(Response::new(job))
    }

    async fn retry_job(
        &self,
        request: Request<v1::RetryJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.extensions());
        let job = self.retry(request.into_inner(), caller).await?;
        Ok(Response::new(job))
    }

    async fn update_job(
        &self,
        request: Request<v1::UpdateJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.update(request, caller).await?))
    }

    async fn get_pipe_limits(
        &self,
        request: Request<v1::GetPipeLimitsRequest>,
    ) -> Result<Response<v1::PipeLimits>, Status> {
        let pipe = &request.get_ref().pipe;
        Ok(Response::new(self.limits_of(pipe).await?))
    }

    async fn set_pipe_limits(
        &self,
        request: Request<v1::SetPipeLimitsRequest>,
    ) -> Result<Response<v1::PipeLimits>, Status> {
        let caller = request::caller(request.extensions());
        let limits = request.into_inner().limits;
        Ok(Response::new(self.limit(limits, caller).await?))
    }

    async fn list_pipe_limits(
        &self,
        request: Request<v1::ListPipeLimitsRequest>,
    ) -> Result<Response<v1::ListPipeLimitsResponse>, Status> {
        Ok(Response::new(self.all_limits(request.into_inner()).await?))
    }

    async fn create_job_type(
        &self,
        request: Request<v1::CreateJobTypeRequest>,
    ) -> Result<Response<v1::JobType>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.create_type(request, caller).await?))
    }

    async fn update_job_type(
        &self,
        request: Request<v1::UpdateJobTypeRequest>,
    ) -> Result<Response<v1::JobType>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.update_type(request, caller).await?))
    }

    async fn get_job_type(
        &self,
        request: Request<v1::GetJobTypeRequest>,
    ) -> Result<Response<v1::JobType>, Status> {
        let name = &request.get_ref().name;
        Ok(Response::new(self.one_type(name).await?))
    }

    async fn list_job_types(
        &self,
        request: Request<v1::ListJobTypesRequest>,
    ) -> Result<Response<v1::ListJobTypesResponse>, Status> {
        Ok(Response::new(self.all_types(request.into_inner()).await?))
    }

    async fn delete_job_type(
        &self,
        request: Request<v1::DeleteJobTypeRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(self.delete_type(name, caller).await?))
    }

    async fn delete_job(
        &self,
        request: Request<v1::DeleteJobRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(self.delete(name, caller).await?))
    }

    async fn list_failures(
        &self,
        request: Request<v1::ListFailuresRequest>,
    ) -> Result<Response<v1::ListFailuresResponse>, Status> {
        Ok(Response::new(self.failures(request.into_inner()).await?))
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let request = request.into_inner();
        Ok(Response::new(self.dead_letters(request).await?))
    }

    async fn drop_dead_letters(
        &self,
        request: Request<v1::DropDeadLettersRequest>,
    ) -> Result<Response<v1::DropDeadLettersResponse>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.drop_dead(request, caller).await?))
    }

    type WatchJobsStream = Answers<v1::WatchJobsResponse>;

    async fn watch_jobs(
        &self,
        request: Request<v1::WatchJobsRequest>,
    ) -> Result<Response<Self::WatchJobsStream>, Status> {
        let answers = self.follow_partition(request.into_inner()).await?;
        Ok(Response::new(answers))
    }

    type WatchEventsStream = Answers<v1::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Ok(Response::new(self.follow_log(request.into_inner()).await?))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        Ok(Response::new(self.events(request.into_inner()).await?))
    }

    async fn count_jobs(
        &self,
        request: Request<v1::CountJobsRequest>,
    ) -> Result<Response<v1::CountJobsResponse>, Status> {
        Ok(Response::new(self.count(request.into_inner()).await?))
    }

    async fn get_job_history(
        &self,
        request: Request<v1::GetJobHistoryRequest>,
    ) -> Result<Response<v1::GetJobHistoryResponse>, Status> {
        Ok(Response::new(self.history(&request.get_ref().name).await?))
    }

    async fn list_batches(
        &self,
        request: Request<v1::ListBatchesRequest>,
    ) -> Result<Response<v1::ListBatchesResponse>, Status> {
        Ok(Response::new(self.batches(request.into_inner()).await?))
    }

    async fn explain_job(
        &self,
        request: Request<v1::ExplainJobRequest>,
    ) -> Result<Response<v1::ExplainJobResponse>, Status> {
        Ok(Response::new(self.explain(&request.get_ref().name).await?))
    }

    async fn create_schedule(
        &self,
        request: Request<v1::CreateScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.make_schedule(request, caller).await?))
    }

    async fn update_schedule(
        &self,
        request: Request<v1::UpdateScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.change_schedule(request, caller).await?))
    }

    async fn get_schedule(
        &self,
        request: Request<v1::GetScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let name = &request.get_ref().name;
        Ok(Response::new(self.read_one_schedule(name).await?))
    }

    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        Ok(Response::new(self.schedules(request.into_inner()).await?))
    }

    async fn pause_schedule(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(self.hold_schedule(name, true, caller).await?))
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(
            self.hold_schedule(name, false, caller).await?,
        ))
    }

    async fn run_schedule(
        &self,
        request: Request<v1::RunScheduleRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(self.run_now(name, caller).await?))
    }

    async fn delete_schedule(
        &self,
        request: Request<v1::DeleteScheduleRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(self.remove_schedule(name, caller).await?))
    }

    async fn get_partition(
        &self,
        request: Request<v1::GetPartitionRequest>,
    ) -> Result<Response<v1::Partition>, Status> {
        let name = &request.get_ref().name;
        Ok(Response::new(self.partition(name).await?))
    }

    async fn update_partition(
        &self,
        request: Request<v1::UpdatePartitionRequest>,
    ) -> Result<Response<v1::Partition>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        Ok(Response::new(self.change_partition(request, caller).await?))
    }

    async fn suspend_partition(
        &self,
        request: Request<v1::SuspendPartitionRequest>,
    ) -> Result<Response<v1::Partition>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(self.suspend(name, true, caller).await?))
    }

    async fn resume_partition(
        &self,
        request: Request<v1::ResumePartitionRequest>,
    ) -> Result<Response<v1::Partition>, Status> {
        let caller = request::caller(request.extensions());
        let name = &request.get_ref().name;
        Ok(Response::new(self.suspend(name, false, caller).await?))
    }

    async fn list_suspended_partitions(
        &self,
        request: Request<v1::ListSuspendedPartitionsRequest>,
    ) -> Result<Response<v1::ListSuspendedPartitionsResponse>, Status> {
        Ok(Response::new(self.suspended(request.into_inner()).await?))
    }

    async fn list_pipes(
        &self,
        request: Request<v1::ListPipesRequest>,
    ) -> Result<Response<v1::ListPipesResponse>, Status> {
        Ok(Response::new(self.pipes(request.into_inner()).await?))
    }
}
