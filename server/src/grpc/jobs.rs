//! Creating, reading, listing, steering and deleting jobs.

use bytes::Bytes;
use headway::v1;
use headway_domain::{
    Error, JobName,
    bulk::BulkAction,
    error::Action,
    event::Caller,
    filter::{Filter, JobOrder},
};
use headway_store::{JobPlace, JobView, NewJob};
use tonic::{Request, Response, Status};

use super::{
    api::{JobApi, fitting, now, whole},
    convert_in, convert_out,
    exploring::jobs_query,
    request,
    status::ApiError,
    violations::Violations,
};

impl JobApi {
    pub(super) async fn create(
        &self,
        request: Request<v1::CreateJobRequest>,
    ) -> Result<v1::Job, ApiError> {
        let caller = request::caller(request.extensions());
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
            created: None,
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

    pub(super) async fn get(&self, name: &str) -> Result<v1::Job, ApiError> {
        let name = request::job_name("name", name)?;
        whole(self.store().job(&name).await?)
    }

    pub(super) async fn list(
        &self,
        request: v1::ListJobsRequest,
    ) -> Result<v1::ListJobsResponse, ApiError> {
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
        let query = jobs_query(&partition, &filter, &request.filter, order);
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
        let unreadable = page.unreadable.iter();
        Ok(v1::ListJobsResponse {
            jobs,
            next_page_token: next_page_token.unwrap_or_default(),
            unreadable: unreadable
                .map(|id| format!("partitions/{partition}/jobs/{id}"))
                .collect(),
        })
    }

    pub(super) async fn control(
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

    pub(super) async fn answer_change(
        &self,
        action: BulkAction,
        request: Request<v1::BatchChangeJobsRequest>,
    ) -> Result<Response<v1::BatchChangeJobsResponse>, Status> {
        let caller = request::caller(request.extensions());
        let request = request.into_inner();
        let answer = self.change_many(action, request, caller).await?;
        Ok(Response::new(answer))
    }

    pub(super) async fn delete(&self, name: &str, caller: Caller) -> Result<(), ApiError> {
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
