//! BatchCreateJobs.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, stream};
use headway::v1::{self, batch_create_jobs_result::Result as WireResult};
use headway_domain::{Error, JobName, PartitionId, events::Caller};
use headway_store::NewJob;
use prost::Message;
use tonic::{Code, Status};

use super::view;
use crate::grpc::{api::Api, request, spec, status::ApiError, violations::Violations};

/// Jobs in one request.
const MOST: usize = 1000;
/// Jobs of one request that are accepted at once.
const AT_ONCE: usize = 64;

impl Api {
    pub(crate) async fn batch_create_jobs(
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
        let (partition,) = violations.values((partition,))?;
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
        if request.validate_only {
            let results = self.rehearse_entries(read).await;
            return Ok(v1::BatchCreateJobsResponse { results });
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

    /// What the entries of a request would become. Nothing is created, so entries that share an id
    /// or a request id are compared with each other.
    async fn rehearse_entries(
        &self,
        read: Vec<Result<NewJob, ApiError>>,
    ) -> Vec<v1::BatchCreateJobsResult> {
        let mut ids = HashMap::new();
        let mut request_ids = HashMap::new();
        let mut results = Vec::with_capacity(read.len());
        for new in read {
            let result = match new {
                Ok(new) => {
                    let first = request_ids.get(&new.request_id);
                    let result = match (first, ids.get(&new.name.to_string())) {
                        (Some(first), _) => again(&new, first, Error::RequestIdReused),
                        (None, Some(first)) => again(&new, first, Error::JobExists),
                        (None, None) => self.rehearse_entry(&new).await,
                    };
                    if let Ok(job) = &result {
                        let first = (job.clone(), new.spec.hash());
                        if !new.request_id.is_empty() {
                            request_ids.insert(new.request_id, first.clone());
                        }
                        // Of the job that was answered: by a request id that may be another one.
                        ids.insert(job.name.clone(), first);
                    }
                    result
                }
                Err(error) => Err(error),
            };
            results.push(v1::BatchCreateJobsResult {
                result: Some(match result {
                    Ok(job) => WireResult::Job(job),
                    Err(error) => WireResult::Error(refusal(error)),
                }),
            });
        }
        results
    }

    async fn rehearse_entry(&self, new: &NewJob) -> Result<v1::Job, ApiError> {
        Ok(match self.store().existing_job(new).await? {
            Some(view) => view::named(&view),
            None => v1::Job {
                spec: None,
                ..view::rehearsed(&new.name, &new.spec, new.creator.clone())?
            },
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
        let result = match created {
            Ok((view, _)) => WireResult::Job(view::named(&view)),
            Err(error) => WireResult::Error(refusal(error)),
        };
        let result = v1::BatchCreateJobsResult {
            result: Some(result),
        };
        (at, result)
    }

    async fn new_job(
        &self,
        partition: PartitionId,
        mut entry: v1::BatchCreateJobsEntry,
        caller: Caller,
    ) -> Result<NewJob, ApiError> {
        let parent = format!("partitions/{partition}");
        let used = self.make_work(&parent, &mut entry.spec).await?;
        let mut violations = Violations::default();
        let job = violations.take(request::job_id(entry.job_id));
        let request_id = violations.take(request::request_id(entry.request_id));
        let spec = spec::spec_of(Some(&partition), entry.spec, used, &self.splitters);
        let spec = violations.take(spec);
        let (job, request_id, spec) = violations.values((job, request_id, spec))?;
        Ok(NewJob {
            name: JobName { partition, job },
            spec,
            request_id,
            creator: caller.user,
            correlation: caller.correlation,
            created: None,
        })
    }
}

/// The result of an entry whose id, or request id, an earlier one has.
fn again(
    new: &NewJob,
    (job, hash): &(v1::Job, [u8; 32]),
    other: fn(JobName) -> Error,
) -> Result<v1::Job, ApiError> {
    match *hash == new.spec.hash() {
        true => Ok(job.clone()),
        false => Err(other(request::job_name("name", &job.name)?).into()),
    }
}

/// The status that CreateJob would have ended with.
fn refusal(error: ApiError) -> tonic_types::Status {
    let status = Status::from(error);
    let code = match status.code() {
        Code::Ok => Code::Unknown,
        code => code,
    };
    let details = tonic_types::Status::decode(status.details());
    tonic_types::Status {
        code: code.into(),
        message: status.message().to_owned(),
        details: details.map(|status| status.details).unwrap_or_default(),
    }
}

/// Whether no entry before has the job's id or its request id.
fn is_first(seen: &mut HashSet<(bool, String)>, new: &NewJob) -> bool {
    let fresh = seen.insert((false, new.name.job.to_string()));
    let request = new.request_id.is_empty() || seen.insert((true, new.request_id.clone()));
    fresh && request
}
