//! What clients read of each error.

use headway_domain::{FieldViolation, JobName, JobState, error::Action};
use tonic_types::{ErrorDetails, StatusExt};

use super::{
    answer::{DOMAIN, MESSAGE_BYTES},
    domain::VIOLATIONS,
    *,
};

fn name() -> JobName {
    "partitions/acme/jobs/nightly".parse().unwrap()
}

fn sent(error: impl Into<ApiError>) -> (Status, ErrorDetails) {
    let status = Status::from(error.into());
    // As a client reads it: from the encoded details.
    let details = status.get_error_details();
    (status, details)
}

fn transition(action: Action, state: JobState, settled: bool) -> Error {
    Error::IllegalTransition {
        job: name(),
        action,
        state,
        settled,
    }
}

#[test]
fn every_error_has_its_code_reason_and_sentence() {
    let refusal = |code| {
        ApiError::Transport(Refusal {
            code,
            path: "/headway.v1.JobService/Nothing".to_owned(),
            message: "secret".to_owned(),
        })
    };
    let second = Duration::from_secs(1);
    let cases: Vec<(ApiError, Code, &str, bool)> = vec![
        (
            Error::field("spec.task.pipe", "must be set").into(),
            Code::InvalidArgument,
            "INVALID_FIELDS",
            false,
        ),
        (
            Error::JobNotFound(name()).into(),
            Code::NotFound,
            "JOB_NOT_FOUND",
            false,
        ),
        (
            Error::JobExists(name()).into(),
            Code::AlreadyExists,
            "JOB_EXISTS",
            false,
        ),
        (
            Error::TooManyPipes {
                pipe: "new".to_owned(),
                limit: 1000,
            }
            .into(),
            Code::ResourceExhausted,
            "TOO_MANY_PIPES",
            false,
        ),
        (
            Error::RequestIdReused(name()).into(),
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
            false,
        ),
        (
            transition(Action::Resume, JobState::Completed, true).into(),
            Code::FailedPrecondition,
            "ILLEGAL_TRANSITION",
            false,
        ),
        (
            transition(Action::Retry, JobState::Cancelled, false).into(),
            Code::FailedPrecondition,
            "ILLEGAL_TRANSITION",
            true,
        ),
        (
            transition(Action::Retry, JobState::Active, false).into(),
            Code::FailedPrecondition,
            "ILLEGAL_TRANSITION",
            false,
        ),
        (
            Error::PageToken.into(),
            Code::InvalidArgument,
            "PAGE_TOKEN_INVALID",
            false,
        ),
        (
            StoreError::Domain(Error::PageToken).into(),
            Code::InvalidArgument,
            "PAGE_TOKEN_INVALID",
            false,
        ),
        (
            StoreError::Unavailable("secret".into()).into(),
            Code::Unavailable,
            "DATABASE_UNAVAILABLE",
            true,
        ),
        (
            StoreError::Refused("secret".into()).into(),
            Code::InvalidArgument,
            "DATA_REFUSED",
            false,
        ),
        (
            StoreError::Duplicate("secret".into()).into(),
            Code::Unavailable,
            "CONCURRENT_CHANGE",
            true,
        ),
        (
            StoreError::Broken("secret".into()).into(),
            Code::Internal,
            "INTERNAL",
            false,
        ),
        (
            ApiError::Stopping,
            Code::Unavailable,
            "SERVER_STOPPING",
            true,
        ),
        (
            ApiError::Overloaded,
            Code::Unavailable,
            "SERVER_OVERLOADED",
            true,
        ),
        (
            ApiError::TooManyWatches(5),
            Code::ResourceExhausted,
            "TOO_MANY_WATCHES",
            true,
        ),
        (
            ApiError::TooSlow(second),
            Code::DeadlineExceeded,
            "SERVER_TOO_SLOW",
            true,
        ),
        (
            refusal(Code::OutOfRange),
            Code::InvalidArgument,
            "REQUEST_TOO_LARGE",
            false,
        ),
        (
            refusal(Code::Internal),
            Code::InvalidArgument,
            "MALFORMED_REQUEST",
            false,
        ),
        (
            refusal(Code::Unimplemented),
            Code::Unimplemented,
            "METHOD_UNKNOWN",
            false,
        ),
        (
            refusal(Code::Unavailable),
            Code::Unavailable,
            "SERVER_OVERLOADED",
            true,
        ),
        (
            refusal(Code::Cancelled),
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            true,
        ),
        (
            refusal(Code::Unauthenticated),
            Code::Unauthenticated,
            "ACCESS_DENIED",
            false,
        ),
        (refusal(Code::Unknown), Code::Unknown, "CALL_REFUSED", false),
    ];
    for (error, code, reason, again) in cases {
        let (status, details) = sent(error);
        assert_eq!(status.code(), code, "{reason}");
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (reason, DOMAIN)
        );
        assert_eq!(details.retry_info().is_some(), again, "{reason}");
        assert!(!status.message().is_empty() && !status.message().ends_with('.'));
        let everything = format!("{} {details:?}", status.message());
        assert!(!everything.contains("secret"), "{everything}");
    }
}

#[test]
fn fields_are_named() {
    let list = vec![
        FieldViolation {
            field: "spec.labels".into(),
            description: "must be fewer".into(),
        },
        FieldViolation {
            field: "job_id".into(),
            description: "must be shorter".into(),
        },
    ];
    let (status, details) = sent(Error::Invalid(list));
    assert_eq!(
        status.message(),
        "spec.labels must be fewer; job_id must be shorter"
    );
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["spec.labels", "job_id"]);
    assert_eq!(violations[1].description, "must be shorter");
}

#[test]
fn a_transition_names_state_subject_and_reason() {
    let (status, details) = sent(transition(Action::Resume, JobState::Completed, true));
    let violation = &details.precondition_failure().unwrap().violations[0];
    assert_eq!(violation.r#type, "COMPLETED");
    assert_eq!(violation.subject, name().to_string());
    assert_eq!(violation.description, status.message());
    let info = &details.error_info().unwrap().metadata;
    assert_eq!(info["action"], "resume");
    assert_eq!(info["state"], "COMPLETED");
}

#[test]
fn resources_are_named() {
    for error in [
        Error::JobNotFound(name()),
        Error::JobExists(name()),
        Error::RequestIdReused(name()),
    ] {
        let (_, details) = sent(error);
        let resource = details.resource_info().unwrap();
        assert_eq!(resource.resource_type, "headway.dev/Job");
        assert_eq!(resource.resource_name, name().to_string());
    }
}

/// Bytes of the headers that an error is sent in.
fn header_bytes(status: Status) -> usize {
    let response = status.into_http::<()>();
    let headers = response.headers().iter();
    headers
        .map(|(key, value)| key.as_str().len() + value.len() + 32)
        .sum()
}

#[test]
fn an_error_fits_into_headers_whatever_was_sent() {
    let long = "é\"".repeat(10_000);
    let list = (0..100)
        .map(|_| FieldViolation {
            field: long.clone(),
            description: long.clone(),
        })
        .collect();
    let (status, details) = sent(Error::Invalid(list));
    assert!(status.message().len() <= MESSAGE_BYTES);
    let violations = &details.bad_request().unwrap().field_violations;
    assert_eq!(violations.len(), VIOLATIONS);
    let name = format!("partitions/{}/jobs/{}", "é".repeat(64), "ü".repeat(64));
    let errors = [
        status,
        sent(Error::JobExists(name.parse().unwrap())).0,
        sent(Error::IllegalTransition {
            job: name.parse().unwrap(),
            action: Action::Retry,
            state: JobState::Cancelled,
            settled: false,
        })
        .0,
        sent(ApiError::Transport(Refusal {
            code: Code::Unimplemented,
            path: long,
            message: String::new(),
        }))
        .0,
    ];
    for error in errors {
        let code = error.code();
        let bytes = header_bytes(error);
        assert!(bytes <= 8 * 1024, "{code:?} takes {bytes} bytes");
    }
}
