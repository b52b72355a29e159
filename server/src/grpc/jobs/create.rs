//! CreateJob.

use bytes::Bytes;
use headway::v1;
use headway_domain::{JobName, events::Caller};
use headway_store::{JobView, NewJob};

use super::view;
use crate::grpc::{api::Api, request, spec, status::ApiError, violations::Violations};

impl Api {
    pub(crate) async fn create_job(
        &self,
        mut request: v1::CreateJobRequest,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let used = self.make_work(&request.parent, &mut request.spec).await?;
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let job = violations.take(request::job_id(request.job_id));
        let request_id = violations.take(request::request_id(request.request_id));
        let spec = spec::spec_of(partition.as_ref(), request.spec, used, &self.splitters);
        let spec = violations.take(spec);
        let (partition, job, request_id, spec) =
            violations.values((partition, job, request_id, spec))?;
        let new = NewJob {
            name: JobName { partition, job },
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
        Ok(view::full(&view, &body)?)
    }

    /// Accepts a job and publishes what that caused.
    pub(crate) async fn accept(&self, new: NewJob) -> Result<(JobView, Bytes), ApiError> {
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
            Some(view) => view::whole(view),
            None => Ok(view::rehearsed(&new.name, &new.spec, new.creator)?),
        }
    }
}
