//! RetryJob.

use headway::v1;
use headway_domain::events::Caller;
use headway_store::{Retry, Target};

use super::{failure_filter, view};
use crate::grpc::{api::Api, request, status::ApiError, violations::Violations};

impl Api {
    pub(crate) async fn retry_job(
        &self,
        request: v1::RetryJobRequest,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let mut violations = Violations::default();
        let name = violations.take(request::job_name("name", &request.name));
        let uid = violations.take(request::job_uid("uid", &request.uid));
        let filter = failure_filter(request.failure_filter, name.as_ref(), &mut violations);
        let (name, uid) = violations.values((name, uid))?;
        let retry = Retry {
            filter,
            dependents: request.retry_dependents,
            rehearse: request.validate_only,
        };
        let rehearse = retry.rehearse;
        let view = self
            .change(|relay, reply| async move {
                let job = Target { name: &name, uid };
                match relay.store().retry_job(job, &retry, &caller).await {
                    Ok(retried) => {
                        drop(reply.send(Ok(retried.view)));
                        relay.publish(retried.committed).await;
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            })
            .await?;
        match rehearse {
            true => Ok(view::brief(&view)),
            false => view::whole(view),
        }
    }
}
