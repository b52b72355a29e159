//! Many jobs at once: accepted with a result each, or changed by a job of its own.

use std::collections::HashSet;

use bytes::Bytes;
use futures::{StreamExt, stream};
use headway::v1;
use headway_domain::{
    Error, JobName,
    bulk::{self, BulkAction, BulkDefinition},
    event::Caller,
    filter::Filter,
    spec::Work,
};
use headway_splitters::Definition;
use headway_store::{JobFilter, JobView, NewJob, StoreError};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    api::JobApi,
    convert_in,
    convert_out::{self, int},
    request,
    status::ApiError,
    violations::Violations,
};

/// Jobs in one request.
const MOST: usize = 1000;
/// Jobs of one request that are accepted at once.
const AT_ONCE: usize = 64;

impl JobApi {
    /// BatchCreateJobs.
    pub(super) async fn create_many(
        &self,
        request: v1::BatchCreateJobsRequest,
        caller: Caller,
    ) -> Result<v1::BatchCreateJobsResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let count = request.jobs.len();
        violations.check((1..=MOST).contains(&count), "jobs", || {
            format!("must be 1 to {MOST}, and has {count}")
        });
        violations.finish()?;
        let Some(partition) = partition else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let reading = request.jobs.into_iter().map(|entry| {
            let (partition, caller) = (partition.clone(), caller.clone());
            async move { self.new_job(partition, entry, caller).await }
        });
        let mut read: Vec<_> = stream::iter(reading).buffered(AT_ONCE).collect().await;
        // Listed by time of creation, the jobs stand in the order of the request.
        for (new, created) in read.iter_mut().zip(self.store().creation_times(count)) {
            if let Ok(new) = new {
                new.created = Some(created);
            }
        }
        // Of entries with one id the first wins: the others come after all first ones.
        let mut seen = HashSet::new();
        let (first, later): (Vec<_>, Vec<_>) = read
            .into_iter()
            .enumerate()
            .partition(|(_, new)| new.as_ref().is_ok_and(|new| is_first(&mut seen, new)));
        let accepting = first
            .into_iter()
            .map(|(at, new)| self.accept_entry(at, new));
        let accepting = stream::iter(accepting).buffer_unordered(AT_ONCE);
        let mut results: Vec<_> = accepting.collect().await;
        for (at, new) in later {
            results.push(self.accept_entry(at, new).await);
        }
        results.sort_by_key(|(at, _)| *at);
        Ok(v1::BatchCreateJobsResponse {
            results: results.into_iter().map(|(_, result)| result).collect(),
        })
    }

    /// Accepts an entry of a request; its place there, and its result.
    async fn accept_entry(
        &self,
        at: usize,
        new: Result<NewJob, ApiError>,
    ) -> (usize, v1::BatchCreateJobsResult) {
        let created = match new {
            Ok(new) => self.accept(new).await,
            Err(error) => Err(error),
        };
        let result = created.map_or_else(refused, |(view, _)| v1::BatchCreateJobsResult {
            job: Some(convert_out::named(&view)),
            ..v1::BatchCreateJobsResult::default()
        });
        (at, result)
    }

    async fn new_job(
        &self,
        partition: headway_domain::PartitionId,
        mut entry: v1::BatchCreateJobsEntry,
        caller: Caller,
    ) -> Result<NewJob, ApiError> {
        let parent = format!("partitions/{partition}");
        let used = self.make_work(&parent, &mut entry.spec).await?;
        let mut violations = Violations::default();
        let job = violations.take(request::job_id(entry.job_id));
        let request_id = violations.take(request::request_id(entry.request_id));
        let spec = violations.take(convert_in::spec_of(entry.spec, used, &self.splitters));
        violations.finish()?;
        let (Some(job), Some(request_id), Some(spec)) = (job, request_id, spec) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        Ok(NewJob {
            name: JobName { partition, job },
            spec,
            request_id,
            creator: caller.user,
            correlation: caller.correlation,
            created: None,
        })
    }

    /// BatchPauseJobs and its siblings.
    pub(super) async fn change_many(
        &self,
        action: BulkAction,
        request: v1::BatchChangeJobsRequest,
        caller: Caller,
    ) -> Result<v1::BatchChangeJobsResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
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
        violations.finish()?;
        let (Some(partition), Some(more), Some(job), Some(request_id)) =
            (partition, more, job, request_id)
        else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let filter = JobFilter {
            states: action.states(),
            more: Some(more),
            ..JobFilter::default()
        };
        let counts = self.store().count_jobs(&partition, &filter).await?;
        let matching_jobs = int(counts.iter().map(|(_, jobs)| jobs).sum::<u64>());
        if request.validate_only {
            return Ok(v1::BatchChangeJobsResponse {
                job: None,
                matching_jobs,
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
        Ok(v1::BatchChangeJobsResponse {
            job: Some(convert_out::full(&view, &body)?),
            matching_jobs,
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

/// The result of a job that is refused.
fn refused(error: ApiError) -> v1::BatchCreateJobsResult {
    let status = Status::from(error);
    let reason = status.get_details_error_info().map(|info| info.reason);
    let code = match status.code() {
        Code::Ok => Code::Unknown,
        code => code,
    };
    v1::BatchCreateJobsResult {
        job: None,
        code: code.into(),
        message: status.message().to_owned(),
        reason: reason.unwrap_or_default(),
        details: tonic_types::Status::decode(status.details())
            .map(|status| status.details)
            .unwrap_or_default(),
    }
}

/// Whether no entry before has the job's id or its request id.
fn is_first(seen: &mut HashSet<(bool, String)>, new: &NewJob) -> bool {
    let fresh = seen.insert((false, new.name.job.to_string()));
    let request = new.request_id.is_empty() || seen.insert((true, new.request_id.clone()));
    fresh && request
}
