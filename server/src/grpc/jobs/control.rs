//! PauseJob, ResumeJob, CancelJob and DeleteJob.

use headway::v1;
use headway_domain::{Error, JobName, JobUid, error::Action, events::Caller};
use headway_store::Target;

use super::view;
use crate::grpc::{api::Api, request, status::ApiError, violations::Violations};

impl Api {
    pub(crate) async fn control_job(
        &self,
        name: String,
        uid: String,
        action: Action,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let (name, uid) = target(&name, &uid)?;
        let view = self
            .change(|relay, reply| async move {
                let job = Target { name: &name, uid };
                match relay.store().control_job(job, action, &caller).await {
                    Ok(controlled) => {
                        drop(reply.send(Ok(controlled.view)));
                        relay.publish(controlled.committed).await;
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            })
            .await?;
        view::whole(view)
    }

    pub(crate) async fn delete_job(
        &self,
        request: v1::DeleteJobRequest,
        caller: Caller,
    ) -> Result<(), ApiError> {
        let (name, uid) = target(&request.name, &request.uid)?;
        self.change(|relay, reply| async move {
            let job = Target { name: &name, uid };
            match relay.store().delete_job(job, &caller).await {
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

/// The job that a request is about.
fn target(name: &str, uid: &str) -> Result<(JobName, Option<JobUid>), Error> {
    let mut violations = Violations::default();
    let name = violations.take(request::job_name("name", name));
    let uid = violations.take(request::job_uid("uid", uid));
    violations.values((name, uid))
}
