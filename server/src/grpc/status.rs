//! Errors as clients see them: the one place that makes a `tonic::Status`.
//!
//! Each carries `google.rpc` details. `ErrorInfo` is always there; its reason is for programs, the message says to
//! people what to do. What happened inside is logged and never sent.

use std::{collections::HashMap, time::Duration};

use headway_domain::{Error, FieldViolation, JobName, JobState, effect::clean, error::Action};
use headway_store::{Position, StoreError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use super::tokens::cursor_text;
use crate::gate::Door;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "headway.dev";
/// The resource type of a job.
const JOB: &str = "headway.dev/Job";
/// The type of a schedule in ResourceInfo.
const SCHEDULE: &str = "headway.dev/Schedule";
/// The resource type of a job type.
const JOB_TYPE: &str = "headway.dev/JobType";
/// The resource type of a batch.
const BATCH: &str = "headway.dev/Batch";
/// When to try again what only needs a moment.
const SOON: Duration = Duration::from_secs(1);
/// Field violations that are sent. Details travel in headers, of which some clients take 8 KiB in all.
const VIOLATIONS: usize = 6;
/// Bytes of a field's path and of its description.
const FIELD_BYTES: usize = 96;
const DESCRIPTION_BYTES: usize = 256;
/// Bytes of any other text in the details; a job's name has at most 273.
const DETAIL_BYTES: usize = 512;
/// Bytes of a message.
const MESSAGE_BYTES: usize = 1024;

/// Why a call fails.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The request breaks a rule.
    Domain(Error),
    /// The database does not do it.
    Store(StoreError),
    /// The server shuts down.
    Stopping,
    /// Too many calls are under way.
    Overloaded,
    /// No more watches can be opened; so many are.
    TooManyWatches(usize),
    /// Events after this cursor are not kept any more, but from this place on they are.
    CursorExpired(Position),
    /// The answer did not begin within this time.
    TooSlow(Duration),
    /// The request never reached a method of ours.
    Transport(Refusal),
    /// The request may not enter: see [`crate::gate`].
    Door(Door),
    /// Decoding the request would take more than so many bytes of memory.
    TooCostly(usize),
    /// The request was not complete, and nothing more of it came in this time.
    SlowRequest(Duration),
    /// The client's address has its share of the calls under way, or of open streams.
    ClientBusy(&'static str),
    /// So many streams are open on one connection.
    TooManyStreams(usize),
    /// The client's deadline is about to pass.
    Deadline,
    /// A method panicked; what it said is in the log under this number.
    Panicked(Uuid),
}

/// Why the gRPC library refused a request, or answered by itself.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What it says.
    pub code: Code,
    /// The path of the call, `/{service}/{method}`.
    pub path: String,
    /// Its own words; logged only.
    pub message: String,
}

/// Whether a change was refused because what it is based on had changed.
pub(crate) fn overtaken(error: &StoreError) -> bool {
    matches!(error, StoreError::Domain(Error::EtagMismatch(_)))
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Domain(error) => Self::Domain(error),
            StoreError::CursorExpired { earliest } => Self::CursorExpired(earliest),
            StoreError::Unavailable(_)
            | StoreError::Refused(_)
            | StoreError::Incompatible(_)
            | StoreError::Duplicate(_)
            | StoreError::Broken(_) => Self::Store(error),
        }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Domain(error) => from_domain(error),
            ApiError::Store(error) => from_store(error),
            ApiError::Stopping => Answer::new(
                Code::Unavailable,
                "SERVER_STOPPING",
                "the server is shutting down; connect again and repeat the call",
            )
            .retry(SOON)
            .status(),
            ApiError::Overloaded => Answer::new(
                Code::Unavailable,
                "SERVER_OVERLOADED",
                "the server handles as many calls as it can; try again in a moment",
            )
            .retry(SOON)
            .status(),
            ApiError::TooManyWatches(most) => Answer::new(
                Code::ResourceExhausted,
                "TOO_MANY_WATCHES",
                format!("the server already has {most} open watches, its maximum; end some, or try again later"),
            )
            .info("limit", most.to_string())
            .retry(5 * SOON)
            .status(),
            ApiError::CursorExpired(earliest) => Answer::new(
                Code::OutOfRange,
                "CURSOR_EXPIRED",
                "events after this cursor are no longer kept; continue with the earliest cursor, and read the jobs to learn what you missed",
            )
            .info("earliest_cursor", cursor_text(earliest))
            .status(),
            ApiError::TooSlow(limit) => Answer::new(
                Code::DeadlineExceeded,
                "SERVER_TOO_SLOW",
                format!(
                    "the server could not answer within {} s; the change may or may not have been made, so read the job before you try again",
                    limit.as_secs()
                ),
            )
            .retry(SOON)
            .status(),
            ApiError::Transport(refusal) => from_transport(refusal),
            ApiError::TooCostly(most) => Answer::new(
                Code::ResourceExhausted,
                "REQUEST_TOO_COSTLY",
                format!(
                    "the request would take more than {most} bytes of memory once it is decoded: it has too many entries for its \
                     size; send fewer at once, and not compressed"
                ),
            )
            .info("limit_bytes", most.to_string())
            .status(),
            ApiError::SlowRequest(limit) => Answer::new(
                Code::DeadlineExceeded,
                "REQUEST_INCOMPLETE",
                format!(
                    "the request's message paused for {} s before it was complete; send it without a pause",
                    limit.as_secs()
                ),
            )
            .status(),
            ApiError::ClientBusy(what) => Answer::new(
                Code::Unavailable,
                "CLIENT_OVERLOADED",
                format!(
                    "your address has used its share of the server's {what}; end some, or try again in a moment. If many clients \
                     share an address, as behind a proxy, raise the setting `client_share`"
                ),
            )
            .retry(SOON)
            .status(),
            ApiError::TooManyStreams(most) => Answer::new(
                Code::ResourceExhausted,
                "TOO_MANY_WATCHES",
                format!("the connection already has {most} open streams, its maximum; open another connection"),
            )
            .info("limit", most.to_string())
            .status(),
            ApiError::Deadline => deadline(),
            ApiError::Panicked(incident) => internal(incident),
            ApiError::Door(door) => {
                let reason = match door {
                    Door::Host(_) => "HOST_NOT_ALLOWED",
                    Door::Origin(_) => "ORIGIN_NOT_ALLOWED",
                };
                Answer::new(Code::PermissionDenied, reason, door.sentence()).status()
            }
        }
    }
}

fn from_domain(error: Error) -> Status {
    let sentence = error.to_string();
    match error {
        Error::Invalid(list) => invalid(list),
        Error::JobNotFound(name) => Answer::new(Code::NotFound, "JOB_NOT_FOUND", sentence)
            .job(&name, "does not exist")
            .status(),
        Error::BatchNotFound { job, number } => {
            Answer::new(Code::NotFound, "BATCH_NOT_FOUND", sentence)
                .resource(BATCH, format!("{job}/batches/{number}"), "does not exist")
                .status()
        }
        Error::JobExists(name) => Answer::new(Code::AlreadyExists, "JOB_EXISTS", sentence)
            .job(&name, "exists with another spec")
            .status(),
        Error::RequestIdReused(name) => {
            Answer::new(Code::AlreadyExists, "REQUEST_ID_REUSED", sentence)
                .job(
                    &name,
                    "was created by a request with this request id and another spec",
                )
                .status()
        }
        Error::IllegalTransition {
            job,
            action,
            state,
            settled,
        } => illegal_transition(sentence, &job, action, state, settled),
        Error::JobTypeNotFound(name) => Answer::new(Code::NotFound, "JOB_TYPE_NOT_FOUND", sentence)
            .job_type(name, "does not exist")
            .status(),
        Error::JobTypeExists(name) => Answer::new(Code::AlreadyExists, "JOB_TYPE_EXISTS", sentence)
            .job_type(name, "exists")
            .status(),
        Error::EtagMismatch(resource) => Answer::new(Code::Aborted, "ETAG_MISMATCH", sentence)
            .info("resource", resource)
            .status(),
        Error::JobTypeFixed(name) => {
            Answer::new(Code::FailedPrecondition, "JOB_TYPE_FROM_FILE", sentence)
                .job_type(name, "comes from a file")
                .status()
        }
        Error::JobTypeUnusable { name, .. } => {
            Answer::new(Code::FailedPrecondition, "JOB_TYPE_UNUSABLE", sentence)
                .job_type(name, "cannot be used")
                .status()
        }
        Error::NothingToRetry(name) => {
            Answer::new(Code::FailedPrecondition, "NOTHING_TO_RETRY", &*sentence)
                .info("job", name.to_string())
                .precondition(&name, "NOTHING_TO_RETRY", &sentence)
                .status()
        }
        Error::ScheduleNotFound(name) => {
            Answer::new(Code::NotFound, "SCHEDULE_NOT_FOUND", sentence)
                .info("schedule", &name)
                .resource(SCHEDULE, name, "does not exist")
                .status()
        }
        Error::ScheduleExists(name) => {
            Answer::new(Code::AlreadyExists, "SCHEDULE_EXISTS", sentence)
                .info("schedule", &name)
                .resource(SCHEDULE, name, "exists")
                .status()
        }
        Error::Cycle { job, cycle } => {
            Answer::new(Code::FailedPrecondition, "PREREQUISITE_CYCLE", sentence)
                .info("job", job.to_string())
                .precondition(&job, "PREREQUISITE_CYCLE", &cycle.join(" -> "))
                .status()
        }
        Error::QuotaExceeded {
            partition,
            quota,
            limit,
        } => {
            let subject = format!("partitions/{partition}");
            // No RetryInfo: how long it takes is not known, and clients would wait by themselves.
            let mut answer = Answer::new(Code::ResourceExhausted, "QUOTA_EXCEEDED", &*sentence)
                .info("partition", &subject)
                .info("quota", quota.field())
                .info("limit", limit.to_string());
            answer
                .details
                .add_quota_failure_violation(subject, clean(&sentence, DETAIL_BYTES));
            answer.status()
        }
        Error::TooManyPipes { pipe, limit } => {
            let mut answer = Answer::new(Code::ResourceExhausted, "TOO_MANY_PIPES", &*sentence)
                .info("pipe", &*pipe)
                .info("limit", limit.to_string());
            let subject = format!("pipes/{pipe}");
            answer
                .details
                .add_quota_failure_violation(subject, clean(&sentence, DETAIL_BYTES));
            answer.status()
        }
        Error::PageToken => Answer::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", sentence)
            .field(
                "page_token",
                "must be the next_page_token of the same request, at most 24 hours old",
            )
            .status(),
    }
}

fn invalid(list: Vec<FieldViolation>) -> Status {
    let more = list.len().saturating_sub(VIOLATIONS);
    let mut answer = Answer::new(Code::InvalidArgument, "INVALID_FIELDS", "");
    let mut clauses = Vec::new();
    for violation in list.into_iter().take(VIOLATIONS) {
        clauses.push(format!("{} {}", violation.field, violation.description));
        answer = answer.field(&violation.field, &violation.description);
    }
    if more > 0 {
        clauses.push(format!("and {more} more"));
    }
    answer.message = clauses.join("; ");
    answer.status()
}

fn illegal_transition(
    sentence: String,
    job: &JobName,
    action: Action,
    state: JobState,
    settled: bool,
) -> Status {
    let mut answer = Answer::new(
        Code::FailedPrecondition,
        "ILLEGAL_TRANSITION",
        sentence.as_str(),
    )
    .info("job", job.to_string())
    .info("action", action.verb())
    .info("state", state.to_string())
    .precondition(job, &state.to_string(), &sentence);
    let ended_unsettled = !settled && matches!(state, JobState::Failed | JobState::Cancelled);
    let retry = action == Action::Retry;
    if retry && ended_unsettled {
        // What is still at workers comes back soon; then the same call works.
        answer = answer.retry(SOON);
    }
    answer.status()
}

fn from_store(error: StoreError) -> Status {
    match error {
        StoreError::Domain(error) => from_domain(error),
        StoreError::CursorExpired { earliest } => ApiError::CursorExpired(earliest).into(),
        StoreError::Unavailable(why) => {
            tracing::warn!(error = %why, "a call failed because the database is unavailable");
            Answer::new(
                Code::Unavailable,
                "DATABASE_UNAVAILABLE",
                "the database is not available at the moment; try again",
            )
            .retry(SOON)
            .status()
        }
        StoreError::Duplicate(why) => {
            tracing::warn!(error = %why, "a call failed because another call wrote a row with the same key");
            Answer::new(
                Code::Unavailable,
                "CONCURRENT_CHANGE",
                "another call changed the same thing at the same moment; try again",
            )
            .retry(SOON)
            .status()
        }
        StoreError::Refused(why) => {
            tracing::warn!(error = %why, "the database refused what a call sent");
            Answer::new(
                Code::InvalidArgument,
                "DATA_REFUSED",
                "the database does not take a value of this request; remove unusual characters or make it smaller",
            )
            .status()
        }
        StoreError::Incompatible(why) | StoreError::Broken(why) => {
            let incident = Uuid::new_v4();
            tracing::error!(error = %why, %incident, "a call failed because of an internal fault");
            internal(incident)
        }
    }
}

fn internal(incident: Uuid) -> Status {
    Answer::new(
        Code::Internal,
        "INTERNAL",
        format!("an internal fault; the server's log says more at incident {incident}"),
    )
    .info("incident", incident.to_string())
    .status()
}

fn deadline() -> Status {
    Answer::new(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the call's deadline passed before it was done; read the job before trying again",
    )
    .retry(SOON)
    .status()
}

fn from_transport(refusal: Refusal) -> Status {
    let Refusal {
        code,
        path,
        message,
    } = refusal;
    tracing::debug!(?code, %path, %message, "a request was refused before it reached its method");
    let answer = match code {
        // A message that is too large by itself, or once it is decompressed.
        Code::OutOfRange | Code::ResourceExhausted => Answer::new(
            Code::InvalidArgument,
            "REQUEST_TOO_LARGE",
            format!(
                "a request must be at most {} bytes, and a payload at most {}; \
                 keep larger inputs in a store of their own and send where they are",
                crate::MAX_REQUEST_BYTES,
                headway_domain::limits::MAX_PAYLOAD_BYTES
            ),
        )
        .info("limit_bytes", crate::MAX_REQUEST_BYTES.to_string()),
        Code::Internal | Code::InvalidArgument | Code::DataLoss => Answer::new(
            Code::InvalidArgument,
            "MALFORMED_REQUEST",
            "the request is not a well-formed message of this method: strings must be UTF-8, JSON values nested at most \
             30 deep; check the client against the service's descriptors",
        ),
        Code::Unimplemented => Answer::new(
            Code::Unimplemented,
            "METHOD_UNKNOWN",
            format!(
                "the server does not offer {} to this kind of request: see the reflection service for its methods, and send \
                 messages uncompressed or with gzip",
                clean(&path, FIELD_BYTES)
            ),
        )
        .info("method", path.as_str()),
        Code::Unavailable | Code::Aborted => Answer::new(
            Code::Unavailable,
            "SERVER_OVERLOADED",
            "the server cannot take the call now; try again in a moment",
        )
        .retry(SOON),
        Code::Cancelled | Code::DeadlineExceeded => return deadline(),
        Code::PermissionDenied | Code::Unauthenticated => {
            Answer::new(code, "ACCESS_DENIED", "the server does not accept this caller")
        }
        Code::Ok | Code::Unknown | Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition => {
            Answer::new(code, "CALL_REFUSED", "the server could not take the call")
        }
    };
    answer.status()
}

/// A status in the making.
struct Answer {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Answer {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
        }
    }

    fn info(mut self, key: &str, value: impl AsRef<str>) -> Self {
        let value = clean(value.as_ref(), DETAIL_BYTES);
        self.metadata.insert(key.to_owned(), value);
        self
    }

    fn field(mut self, field: &str, description: &str) -> Self {
        self.details.add_bad_request_violation(
            clean(field, FIELD_BYTES),
            clean(description, DESCRIPTION_BYTES),
        );
        self
    }

    fn job(self, name: &JobName, description: &str) -> Self {
        let answer = self.info("job", name.to_string());
        answer.resource(JOB, name.to_string(), description)
    }

    fn job_type(self, name: String, description: &str) -> Self {
        let answer = self.info("job_type", &name);
        answer.resource(JOB_TYPE, format!("jobTypes/{name}"), description)
    }

    fn resource(mut self, kind: &str, name: String, description: &str) -> Self {
        self.details.set_resource_info(kind, name, "", description);
        self
    }

    /// What of a job stands against the call.
    fn precondition(mut self, job: &JobName, kind: &str, description: &str) -> Self {
        self.details.add_precondition_failure_violation(
            kind,
            job.to_string(),
            clean(description, DETAIL_BYTES),
        );
        self
    }

    fn retry(mut self, after: Duration) -> Self {
        self.details.set_retry_info(Some(after));
        self
    }

    fn status(mut self) -> Status {
        self.details
            .set_error_info(self.reason, DOMAIN, self.metadata);
        Status::with_error_details(self.code, clean(&self.message, MESSAGE_BYTES), self.details)
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
