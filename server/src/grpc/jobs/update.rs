//! UpdateJob.

use headway::v1;
use headway_domain::{Error, events::Caller, jobs::JobUpdate, limits};
use headway_store::Target;

use super::view;
use crate::grpc::{
    api::Api,
    request,
    spec::{self, retention},
    status::ApiError,
    violations::Violations,
};

/// What of a job can be changed.
const PATHS: [&str; 6] = [
    "spec.labels",
    "spec.description",
    "spec.priority",
    "spec.max_in_flight",
    "spec.failure_policy",
    "spec.retention",
];

impl Api {
    pub(crate) async fn update_job(
        &self,
        request: v1::UpdateJobRequest,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let job = request.job.unwrap_or_default();
        let mut violations = Violations::default();
        let name = violations.take(request::job_name("job.name", &job.name));
        let mask = request::mask(request.update_mask, &PATHS, &mut violations);
        let uid = violations.take(request::job_uid("uid", &request.uid));
        let update = read(job.spec.unwrap_or_default(), &mask, &mut violations);
        let (name, uid) = violations.values((name, uid))?;
        let before = self.store().job(&name).await?;
        if uid.is_some_and(|uid| uid != before.job.meta.uid) {
            return Err(Error::JobNotFound(name).into());
        }
        let (new, _) = update.apply(&before.job.meta.spec);
        new.validate().map_err(|error| error.within("job"))?;
        let view = self
            .change(|relay, reply| async move {
                let job = Target { name: &name, uid };
                match relay.store().update_job(job, update, &caller).await {
                    Ok(changed) => {
                        drop(reply.send(Ok(changed.view)));
                        relay.publish(changed.committed).await;
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            })
            .await?;
        view::whole(view)
    }
}

/// The new values of the fields that are named.
fn read(wire: v1::JobSpec, mask: &[String], violations: &mut Violations) -> JobUpdate {
    let mut wrong = Violations::default();
    let named = |path: &str| mask.iter().any(|named| named == path);
    let update = JobUpdate {
        labels: named("spec.labels").then(|| wire.labels.into_iter().collect()),
        description: named("spec.description").then_some(wire.description),
        priority: named("spec.priority").then(|| spec::priority(wire.priority, &mut wrong)),
        max_in_flight: named("spec.max_in_flight").then(|| {
            spec::count(
                "spec.max_in_flight",
                wire.max_in_flight,
                limits::DEFAULT_WINDOW,
                limits::MAX_WINDOW,
                &mut wrong,
            )
        }),
        failure_policy: named("spec.failure_policy")
            .then(|| spec::failure_policy(wire.failure_policy.unwrap_or_default(), &mut wrong)),
        retention: named("spec.retention")
            .then(|| retention::read("spec.retention", wire.retention, &mut wrong)),
    };
    violations.take(wrong.finish().map_err(|error| error.within("job")));
    update
}
