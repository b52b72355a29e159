//! The status of each error of the domain.

use headway_domain::{
    Error, FieldViolation, JobName, JobState, error::Action, values::text::clean,
};
use tonic::{Code, Status};

use super::{
    SOON,
    answer::{Answer, DETAIL_BYTES},
};

/// The resource type of a schedule.
const SCHEDULE: &str = "headway.dev/Schedule";
/// The resource type of a batch.
const BATCH: &str = "headway.dev/Batch";
/// Field violations that are sent. Details travel in headers, of which some clients take 8 KiB in
/// all.
pub(super) const VIOLATIONS: usize = 6;

pub(super) fn from_domain(error: Error) -> Status {
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
        Error::ScheduleUnreadable { schedule, .. } => {
            Answer::new(Code::FailedPrecondition, "SCHEDULE_UNREADABLE", sentence)
                .info("schedule", &schedule)
                .resource(SCHEDULE, schedule, "cannot be read")
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
