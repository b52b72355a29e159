//! ChangeJobs: many jobs are changed by a job of its own.

use bytes::Bytes;
use headway::v1;
use headway_domain::{
    Error, JobName,
    events::Caller,
    filter::Filter,
    jobs::{
        Work,
        bulk::{self, BulkAction, BulkDefinition},
    },
};
use headway_splitters::Definition;
use headway_store::{JobFilter, JobView, NewJob, StoreError};

use super::view;
use crate::grpc::{api::Api, request, status::ApiError, values::int, violations::Violations};

impl Api {
    pub(crate) async fn change_jobs(
        &self,
        request: v1::ChangeJobsRequest,
        caller: Caller,
    ) -> Result<v1::ChangeJobsResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let action = violations.take(action(request.action));
        let more = violations.take(Filter::parse(&request.filter));
        let job = violations.take(request::job_id(request.job_id));
        let request_id = violations.take(request::request_id(request.request_id));
        violations.check(
            request.all == request.filter.trim().is_empty(),
            "filter",
            || {
                "must say which jobs are meant; set all, and no filter, for all of the partition"
                    .to_owned()
            },
        );
        let (partition, action, more, job, request_id) =
            violations.values((partition, action, more, job, request_id))?;
        let filter = JobFilter {
            states: action.states(),
            more: Some(more),
            ..JobFilter::default()
        };
        let counts = self.store().count_jobs(&partition, &filter).await?;
        let matching_job_count = int(counts.iter().map(|(_, jobs)| jobs).sum::<u64>());
        if request.validate_only {
            return Ok(v1::ChangeJobsResponse {
                job: None,
                matching_job_count,
            });
        }
        let definition = BulkDefinition {
            partition: partition.clone(),
            action,
            filter: request.filter,
            below: self.store().key_now(),
        };
        let json = serde_json::to_value(&definition)
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let spec = definition.spec(Definition::Json(json).encode(), &caller)?;
        let new = NewJob {
            name: JobName { partition, job },
            spec,
            request_id,
            creator: caller.user,
            correlation: caller.correlation,
            created: None,
        };
        let (view, body) = match self.accept(new).await {
            Ok(accepted) => accepted,
            Err(error) => self.begun_before(&definition, error).await?,
        };
        Ok(v1::ChangeJobsResponse {
            job: Some(view::full(&view, &body)?),
            matching_job_count,
        })
    }

    /// The job that an earlier request of the same kind began under the same id, or the error.
    async fn begun_before(
        &self,
        definition: &BulkDefinition,
        error: ApiError,
    ) -> Result<(JobView, Bytes), ApiError> {
        let refusal = match &error {
            ApiError::Domain(refusal) | ApiError::Store(StoreError::Domain(refusal)) => refusal,
            _ => return Err(error),
        };
        let (Error::JobExists(name) | Error::RequestIdReused(name)) = refusal else {
            return Err(error);
        };
        let view = self.store().job(name).await?;
        let body = Bytes::from(view.body.clone().unwrap_or_default());
        let begun = Definition::decode(&body).ok();
        let begun = begun.and_then(|begun| Some(begun.json().ok()?.into_owned()));
        let begun = begun.and_then(|begun| serde_json::from_value::<BulkDefinition>(begun).ok());
        let same = begun.is_some_and(|begun| {
            begun.action == definition.action && begun.filter == definition.filter
        });
        let own =
            matches!(&view.job.meta.spec.work, Work::Batch(batch) if batch.splitter == bulk::JOBS);
        match own && same {
            true => Ok((view, body)),
            false => Err(error),
        }
    }
}

fn action(number: i32) -> Result<BulkAction, Error> {
    match v1::JobAction::try_from(number) {
        Ok(v1::JobAction::Pause) => Ok(BulkAction::Pause),
        Ok(v1::JobAction::Resume) => Ok(BulkAction::Resume),
        Ok(v1::JobAction::Cancel) => Ok(BulkAction::Cancel),
        Ok(v1::JobAction::Retry) => Ok(BulkAction::Retry),
        Ok(v1::JobAction::Delete) => Ok(BulkAction::Delete),
        Ok(v1::JobAction::Unspecified) | Err(_) => Err(Error::field(
            "action",
            format!("must be PAUSE, RESUME, CANCEL, RETRY or DELETE (1 to 5), not {number}"),
        )),
    }
}
