//! PauseJob, ResumeJob, CancelJob and DeleteJob.

use headway::v1;
use headway_domain::{error::Action, event::Caller};

use super::view;
use crate::grpc::{api::Api, request, status::ApiError};

impl Api {
    pub(crate) async fn control_job(
        &self,
        name: String,
        action: Action,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let name = request::job_name("name", &name)?;
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
        view::whole(view)
    }

    pub(crate) async fn delete_job(
        &self,
        request: v1::DeleteJobRequest,
        caller: Caller,
    ) -> Result<(), ApiError> {
        let name = request::job_name("name", &request.name)?;
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
