//! The calls of the server that answers from a script.

use std::time::Instant;

use headway::v1::{
    AuditEvent, BatchCreateJobsRequest, BatchCreateJobsResponse, CancelJobRequest,
    ChangeJobsRequest, ChangeJobsResponse, CountJobsRequest, CountJobsResponse, CreateJobRequest,
    CreateJobTypeRequest, CreateScheduleRequest, DeleteJobRequest, DeleteJobTypeRequest,
    DeleteScheduleRequest, DropDeadLettersRequest, DropDeadLettersResponse, ExplainJobRequest,
    ExplainJobResponse, GetJobHistoryRequest, GetJobRequest, GetJobTypeRequest,
    GetPartitionRequest, GetPipeLimitsRequest, GetScheduleRequest, Job, JobHistory, JobReason,
    JobType, ListBatchesRequest, ListBatchesResponse, ListDeadLettersRequest,
    ListDeadLettersResponse, ListEventsRequest, ListEventsResponse, ListFailuresRequest,
    ListFailuresResponse, ListJobTypesRequest, ListJobTypesResponse, ListJobsRequest,
    ListJobsResponse, ListPipeLimitsRequest, ListPipeLimitsResponse, ListPipesRequest,
    ListPipesResponse, ListSchedulesRequest, ListSchedulesResponse, ListSuspendedPartitionsRequest,
    ListSuspendedPartitionsResponse, Partition, PauseJobRequest, PauseScheduleRequest, PipeLimits,
    ResumeJobRequest, ResumePartitionRequest, ResumeScheduleRequest, RetryJobRequest,
    RunScheduleRequest, Schedule, SuspendPartitionRequest, UpdateJobRequest, UpdateJobTypeRequest,
    UpdatePartitionRequest, UpdatePipeLimitsRequest, UpdateScheduleRequest, WatchEventsRequest,
    WatchEventsResponse, WatchJobRequest, WatchJobResponse, WatchJobsRequest, WatchJobsResponse,
    event_service_server::EventService, job_service_server::JobService,
    job_type_service_server::JobTypeService, partition_service_server::PartitionService,
    pipe_service_server::PipeService, schedule_service_server::ScheduleService,
};
use tonic::{Request, Response, Status};

use super::{Answers, Fake, play};

/// Whether a request for events of these kinds, or of all if there are none, asks for this one.
fn is_wanted(kinds: &[i32], event: &AuditEvent) -> bool {
    kinds.is_empty() || kinds.contains(&event.kind)
}

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
        let parent = request.into_inner().parent;
        script.calls.push(("batches", parent, Instant::now()));
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

#[tonic::async_trait]
impl ScheduleService for Fake {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let request = request.into_inner();
        let name = format!("{}/schedules/{}", request.parent, request.schedule_id);
        Ok(Response::new(Schedule {
            name,
            ..request.schedule.unwrap_or_default()
        }))
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let schedule = request.into_inner().schedule;
        Ok(Response::new(schedule.unwrap_or_default()))
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            ..Schedule::default()
        }))
    }

    async fn list_schedules(
        &self,
        _request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        Ok(Response::new(ListSchedulesResponse::default()))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            paused: true,
            ..Schedule::default()
        }))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            ..Schedule::default()
        }))
    }

    async fn run_schedule(
        &self,
        request: Request<RunScheduleRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("run schedule", request.into_inner().name)
    }

    async fn delete_schedule(
        &self,
        _request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl JobTypeService for Fake {
    async fn create_job_type(
        &self,
        request: Request<CreateJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        Ok(Response::new(
            request.into_inner().job_type.unwrap_or_default(),
        ))
    }

    async fn update_job_type(
        &self,
        request: Request<UpdateJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        Ok(Response::new(
            request.into_inner().job_type.unwrap_or_default(),
        ))
    }

    async fn get_job_type(
        &self,
        request: Request<GetJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(JobType {
            name,
            ..JobType::default()
        }))
    }

    async fn list_job_types(
        &self,
        _request: Request<ListJobTypesRequest>,
    ) -> Result<Response<ListJobTypesResponse>, Status> {
        Ok(Response::new(ListJobTypesResponse::default()))
    }

    async fn delete_job_type(
        &self,
        _request: Request<DeleteJobTypeRequest>,
    ) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl PartitionService for Fake {
    async fn get_partition(
        &self,
        request: Request<GetPartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("partition", request.into_inner().name, false)
    }

    async fn update_partition(
        &self,
        request: Request<UpdatePartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        let partition = request.into_inner().partition.unwrap_or_default();
        Ok(Response::new(partition))
    }

    async fn suspend_partition(
        &self,
        request: Request<SuspendPartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("suspend", request.into_inner().name, true)
    }

    async fn resume_partition(
        &self,
        request: Request<ResumePartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("resume", request.into_inner().name, false)
    }

    async fn list_suspended_partitions(
        &self,
        _request: Request<ListSuspendedPartitionsRequest>,
    ) -> Result<Response<ListSuspendedPartitionsResponse>, Status> {
        Ok(Response::new(ListSuspendedPartitionsResponse::default()))
    }
}

#[tonic::async_trait]
impl PipeService for Fake {
    async fn list_dead_letters(
        &self,
        _request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        Ok(Response::new(ListDeadLettersResponse::default()))
    }

    async fn drop_dead_letters(
        &self,
        _request: Request<DropDeadLettersRequest>,
    ) -> Result<Response<DropDeadLettersResponse>, Status> {
        Ok(Response::new(DropDeadLettersResponse::default()))
    }

    async fn get_pipe_limits(
        &self,
        request: Request<GetPipeLimitsRequest>,
    ) -> Result<Response<PipeLimits>, Status> {
        Ok(Response::new(PipeLimits {
            name: request.into_inner().name,
            ..PipeLimits::default()
        }))
    }

    async fn update_pipe_limits(
        &self,
        request: Request<UpdatePipeLimitsRequest>,
    ) -> Result<Response<PipeLimits>, Status> {
        let limits = request.into_inner().pipe_limits.unwrap_or_default();
        Ok(Response::new(limits))
    }

    async fn list_pipe_limits(
        &self,
        _request: Request<ListPipeLimitsRequest>,
    ) -> Result<Response<ListPipeLimitsResponse>, Status> {
        Ok(Response::new(ListPipeLimitsResponse::default()))
    }

    async fn list_pipes(
        &self,
        request: Request<ListPipesRequest>,
    ) -> Result<Response<ListPipesResponse>, Status> {
        let mut script = self.script();
        let token = request.into_inner().page_token;
        script.calls.push(("pipes", token, Instant::now()));
        let page = script.pipe_pages.pop_front();
        Ok(Response::new(page.unwrap_or_default()))
    }
}

#[tonic::async_trait]
impl EventService for Fake {
    type WatchEventsStream = Answers<WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let mut script = self.script();
        let WatchEventsRequest { after, kinds, .. } = request.into_inner();
        script.calls.push(("watch events", after, Instant::now()));
        play(script.events_watches.pop_front(), move |mut message| {
            message.events.retain(|event| is_wanted(&kinds, event));
            message
        })
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let mut script = self.script();
        let ListEventsRequest {
            after,
            kinds,
            page_token,
            ..
        } = request.into_inner();
        script
            .calls
            .push(("events", after + &page_token, Instant::now()));
        let mut page = script.event_pages.pop_front().unwrap_or_default();
        page.events.retain(|event| is_wanted(&kinds, event));
        Ok(Response::new(page))
    }
}
