//! The methods of JobService.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::StreamExt;
use headway::v1::{self, job_service_server::JobService};
use headway_broker::Broker;
use headway_domain::{
    Error, JobName,
    bulk::BulkAction,
    error::Action,
    event::Caller,
    filter::{Filter, JobOrder},
};
use headway_relay::Relay;
use headway_store::{JobPlace, JobView, NewJob, Store, StoreError};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status};

use super::{
    convert_in::{self, Splitters},
    convert_out,
    exploring::jobs_query,
    job_types::JobTypes,
    request,
    status::ApiError,
    violations::Violations,
    watching::Answers,
};
use crate::{
    ServerParts,
    watch::{Hub, Partitions},
};

/// A page of an answer ends early at this size, so that clients which take 4 MiB can read it.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// JobService.
#[derive(Debug, Clone)]
pub(crate) struct JobApi {
    relay: Relay,
    pub(super) hub: Hub,
    pub(super) partitions: Partitions,
    pub(super) splitters: Arc<Splitters>,
    pub(super) job_types: JobTypes,
    publishing: Arc<Semaphore>,
    tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
}

impl JobApi {
    /// The service over these parts. Changes are committed and published in `tasks`.
    pub(crate) fn new(
        parts: &ServerParts,
        hub: Hub,
        partitions: Partitions,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            relay: parts.relay.clone(),
            hub,
            partitions,
            splitters: Arc::new(Splitters {
                names: parts.splitters.clone(),
                registry: parts.registry.clone(),
            }),
            job_types: JobTypes {
                files: parts.job_types.clone(),
                evaluator: parts.evaluator.clone(),
            },
            publishing: Arc::new(Semaphore::new(parts.limits.publishing.max(1))),
            tasks,
            stopping,
        }
    }

    pub(super) fn store(&self) -> &Store {
        self.relay.store()
    }

    pub(super) fn broker(&self) -> &dyn Broker {
        self.relay.broker().as_ref()
    }

    /// Runs a change to its end, publishing included, also when the caller goes away; answers as soon as it is
    /// committed. `change` sends its answer between the two.
    pub(super) async fn change<T, Fut>(
        &self,
        change: impl FnOnce(Relay, oneshot::Sender<Result<T, StoreError>>) -> Fut,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // When the broker is slow, changes wait here instead of piling up behind it.
        let permit: OwnedSemaphorePermit = self
            .publishing
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| ApiError::Stopping)?;
        let (reply, answer) = oneshot::channel();
        let change = change(self.relay.clone(), reply);
        self.tasks.spawn(async move {
            change.await;
            drop(permit);
        });
        Ok(answer.await.map_err(|_| ApiError::Stopping)??)
    }

    async fn create(&self, request: Request<v1::CreateJobRequest>) -> Result<v1::Job, ApiError> {
        let caller = request::caller(request.metadata());
        let mut request = request.into_inner();
        let used = self.make_work(&request.parent, &mut request.spec).await?;
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let job = violations.take(request::job_id(request.job_id));
        let request_id = violations.take(request::request_id(request.request_id));
        let spec = violations.take(convert_in::spec_of(request.spec, used, &self.splitters));
        violations.finish()?;
        let (Some(partition), Some(job), Some(request_id), Some(spec)) =
            (partition, job, request_id, spec)
        else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let name = JobName { partition, job };
        let new = NewJob {
            name,
            spec,
            request_id,
            creator: caller.user,
            correlation: caller.correlation,
        };
        if request.validate_only {
            return self.rehearse(new).await;
        }
        let (view, body) = self.accept(new).await?;
        Ok(convert_out::full(&view, &body)?)
    }

    /// Accepts a job and publishes what that caused.
    pub(super) async fn accept(&self, new: NewJob) -> Result<(JobView, Bytes), ApiError> {
        self.change(|relay, reply| async move {
            let mut created = match relay.store().create_job(new).await {
                Ok(created) => created,
                Err(error) => return drop(reply.send(Err(error))),
            };
            let body = Bytes::from(created.view.body.take().unwrap_or_default());
            let answer = (created.view.clone(), body.clone());
            // A caller that went away finds the job by its id.
            drop(reply.send(Ok(answer)));
            relay.publish_created(&created, body).await;
        })
        .await
    }

    /// What CreateJob would answer.
    async fn rehearse(&self, new: NewJob) -> Result<v1::Job, ApiError> {
        match self.store().existing_job(&new).await? {
            Some(view) => whole(view),
            None => Ok(convert_out::rehearsed(&new.name, &new.spec, new.creator)?),
        }
    }

    async fn get(&self, name: &str) -> Result<v1::Job, ApiError> {
        let name = request::job_name("name", name)?;
        whole(self.store().job(&name).await?)
    }

    async fn list(&self, request: v1::ListJobsRequest) -> Result<v1::ListJobsResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let size = violations.take(request::page_size(request.page_size));
        let mut filter = request::filter(&request.states, request.labels, &mut violations);
        filter.more = violations.take(Filter::parse(&request.filter));
        let order = violations.take(JobOrder::parse(&request.order_by));
        violations.finish()?;
        let (Some(partition), Some(size), Some(order)) = (partition, size, order) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let mut query = jobs_query(&partition, &filter);
        if !request.filter.is_empty() || order != JobOrder::default() {
            query = query.with(&request.filter).with(&format!("{order:?}"));
        }
        let after = query.place(&request.page_token, now())?;
        let after = after.map(|(key, text)| JobPlace { key, text });
        let page = self
            .store()
            .find_jobs(&partition, &filter, order, after.as_ref(), size)
            .await?;
        let jobs: Vec<_> = page.jobs.iter().map(convert_out::brief).collect();
        let fit = fitting(&jobs);
        // A page that was cut goes on below its last job.
        let next = match page.jobs.get(fit.wrapping_sub(1)) {
            Some(last) if fit < jobs.len() => Some(JobPlace::of(last, order)),
            Some(_) | None => page.next,
        };
        let jobs = jobs.into_iter().take(fit).collect();
        let next_page_token = next.map(|place| query.place_token(place.key, &place.text, now()));
        Ok(v1::ListJobsResponse {
            jobs,
            next_page_token: next_page_token.unwrap_or_default(),
        })
    }

    async fn control(
        &self,
        name: &str,
        action: Action,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let name = request::job_name("name", name)?;
        let view = self
            .change(|relay, reply| async move {
                match relay.store().control_job(&name, action, &caller).await {
                    Ok(controlled) => {
                        drop(reply.send(Ok(controlled.view)));
                        relay.publish(controlled.committed).await;
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            })
            .await?;
        whole(view)
    }

    async fn answer_change(
        &self,
        action: BulkAction,
        request: Request<v1::BatchChangeJobsRequest>,
    ) -> Result<Response<v1::BatchChangeJobsResponse>, Status> {
        let caller = request::caller(request.metadata());
        let request = request.into_inner();
        let answer = self.change_many(action, request, caller).await?;
        Ok(Response::new(answer))
    }

    async fn delete(&self, name: &str, caller: Caller) -> Result<(), ApiError> {
        let name = request::job_name("name", name)?;
        self.change(|relay, reply| async move {
            match relay.store().delete_job(&name, &caller).await {
                Ok(committed) => {
                    drop(reply.send(Ok(())));
                    relay.publish(committed).await;
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        })
        .await
    }
}

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
        let caller = request::caller(request.metadata());
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
        let caller = request::caller(request.metadata());
        let name = &request.get_ref().name;
        let job = self.control(name, Action::Pause, caller).await?;
        Ok(Response::new(job))
    }

    async fn resume_job(
        &self,
        request: Request<v1::ResumeJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.metadata());
        let name = &request.get_ref().name;
        let job = self.control(name, Action::Resume, caller).await?;
        Ok(Response::new(job))
    }

    async fn cancel_job(
        &self,
        request: Request<v1::CancelJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.metadata());
        let name = &request.get_ref().name;
        let job = self.control(name, Action::Cancel, caller).await?;
        Ok(Response::new(job))
    }

    async fn retry_job(
        &self,
        request: Request<v1::RetryJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.metadata());
        let job = self.retry(request.into_inner(), caller).await?;
        Ok(Response::new(job))
    }

    async fn update_job(
        &self,
        request: Request<v1::UpdateJobRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.metadata());
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
        let limits = request.into_inner().limits;
        Ok(Response::new(self.limit(limits).await?))
    }

    async fn list_pipe_limits(
        &self,
        _request: Request<v1::ListPipeLimitsRequest>,
    ) -> Result<Response<v1::ListPipeLimitsResponse>, Status> {
        Ok(Response::new(self.all_limits().await?))
    }

    async fn create_job_type(
        &self,
        request: Request<v1::CreateJobTypeRequest>,
    ) -> Result<Response<v1::JobType>, Status> {
        let caller = request::caller(request.metadata());
        let request = request.into_inner();
        Ok(Response::new(self.create_type(request, caller).await?))
    }

    async fn update_job_type(
        &self,
        request: Request<v1::UpdateJobTypeRequest>,
    ) -> Result<Response<v1::JobType>, Status> {
        let caller = request::caller(request.metadata());
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
        let name = &request.get_ref().name;
        Ok(Response::new(self.delete_type(name).await?))
    }

    async fn delete_job(
        &self,
        request: Request<v1::DeleteJobRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = request::caller(request.metadata());
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
        Ok(Response::new(self.drop_dead(request.into_inner()).await?))
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
        let caller = request::caller(request.metadata());
        let request = request.into_inner();
        Ok(Response::new(self.make_schedule(request, caller).await?))
    }

    async fn update_schedule(
        &self,
        request: Request<v1::UpdateScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let request = request.into_inner();
        Ok(Response::new(self.change_schedule(request).await?))
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
        let name = &request.get_ref().name;
        Ok(Response::new(self.hold_schedule(name, true).await?))
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let name = &request.get_ref().name;
        Ok(Response::new(self.hold_schedule(name, false).await?))
    }

    async fn run_schedule(
        &self,
        request: Request<v1::RunScheduleRequest>,
    ) -> Result<Response<v1::Job>, Status> {
        let caller = request::caller(request.metadata());
        let name = &request.get_ref().name;
        Ok(Response::new(self.run_now(name, caller).await?))
    }

    async fn delete_schedule(
        &self,
        request: Request<v1::DeleteScheduleRequest>,
    ) -> Result<Response<()>, Status> {
        let name = &request.get_ref().name;
        Ok(Response::new(self.remove_schedule(name).await?))
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
        let request = request.into_inner();
        Ok(Response::new(self.change_partition(request).await?))
    }

    async fn suspend_partition(
        &self,
        request: Request<v1::SuspendPartitionRequest>,
    ) -> Result<Response<v1::Partition>, Status> {
        let caller = request::caller(request.metadata());
        let name = &request.get_ref().name;
        Ok(Response::new(self.suspend(name, true, caller).await?))
    }

    async fn resume_partition(
        &self,
        request: Request<v1::ResumePartitionRequest>,
    ) -> Result<Response<v1::Partition>, Status> {
        let caller = request::caller(request.metadata());
        let name = &request.get_ref().name;
        Ok(Response::new(self.suspend(name, false, caller).await?))
    }

    async fn list_suspended_partitions(
        &self,
        _request: Request<v1::ListSuspendedPartitionsRequest>,
    ) -> Result<Response<v1::ListSuspendedPartitionsResponse>, Status> {
        Ok(Response::new(self.suspended().await?))
    }

    async fn list_pipes(
        &self,
        request: Request<v1::ListPipesRequest>,
    ) -> Result<Response<v1::ListPipesResponse>, Status> {
        Ok(Response::new(self.pipes(request.into_inner()).await?))
    }
}

pub(super) fn whole(view: JobView) -> Result<v1::Job, ApiError> {
    let body = view.body.as_deref().unwrap_or_default();
    Ok(convert_out::full(&view, body)?)
}

/// How many entries fit into one answer; at least one.
pub(super) fn fitting(entries: &[impl Message]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.encoded_len();
        bytes <= PAGE_BYTES
    });
    fit.count().max(1).min(entries.len())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_clients_stop_reading() {
        let of = |bytes: usize| v1::Failure {
            details: "x".repeat(bytes),
            ..v1::Failure::default()
        };
        assert_eq!(fitting(&[] as &[v1::Failure]), 0);
        assert_eq!(fitting(&[of(10), of(10)]), 2);
        assert_eq!(fitting(&[of(2 * 1024 * 1024), of(2 * 1024 * 1024)]), 1);
        assert_eq!(fitting(&[of(5 * 1024 * 1024), of(1)]), 1);
    }
}
