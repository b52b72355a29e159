//! What can go wrong with a call, with the server's `google.rpc` details.

use std::{collections::HashMap, error::Error as StdError, fmt, time::Duration};

use prost::Message;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt};
pub use tonic_types::{FieldViolation, PreconditionViolation, QuotaViolation, ResourceInfo};

/// What went wrong with a call.
pub struct Error(Box<Inner>);

struct Inner {
    origin: Origin,
    code: Code,
    message: String,
    details: ErrorDetails,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Who found the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The client, before it sent anything.
    Client,
    /// No connection could be made: the server knows nothing of the call.
    Connect,
    /// The connection broke, or the time was up: the server may have done the call.
    Transport,
    /// The server answered with it.
    Server,
}

impl Error {
    /// The gRPC status code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The code as the gRPC specification writes it, such as `NOT_FOUND`.
    pub fn code_name(&self) -> &'static str {
        code_name(self.0.code)
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Why, for programs: the reason of `google.rpc.ErrorInfo`.
    pub fn reason(&self) -> Option<&str> {
        Some(self.0.details.error_info()?.reason.as_str())
    }

    /// The metadata of `google.rpc.ErrorInfo`.
    pub fn metadata(&self) -> Option<&HashMap<String, String>> {
        Some(&self.0.details.error_info()?.metadata)
    }

    /// Which fields of the request were refused, and why.
    pub fn field_violations(&self) -> &[FieldViolation] {
        match self.0.details.bad_request() {
            Some(details) => &details.field_violations,
            None => &[],
        }
    }

    /// Which conditions of the call were not met.
    pub fn precondition_violations(&self) -> &[PreconditionViolation] {
        match self.0.details.precondition_failure() {
            Some(details) => &details.violations,
            None => &[],
        }
    }

    /// Which quotas are used up: whose they are, and what they are about.
    pub fn quota_violations(&self) -> &[QuotaViolation] {
        match self.0.details.quota_failure() {
            Some(details) => &details.violations,
            None => &[],
        }
    }

    /// Which resource is missing, or exists already.
    pub fn resource_info(&self) -> Option<&ResourceInfo> {
        self.0.details.resource_info()
    }

    /// After what time the server says that trying again may help.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.details.retry_info()?.retry_delay
    }

    /// Whether the client refused the call by itself, for example because the server's address
    /// is no URL.
    pub fn is_client_side(&self) -> bool {
        self.0.origin == Origin::Client
    }

    /// Whether no working server was reached: no connection, a broken one, no answer in time,
    /// or a server that says it is unavailable.
    pub fn is_unreachable(&self) -> bool {
        match self.0.origin {
            Origin::Client => false,
            Origin::Connect | Origin::Transport => true,
            Origin::Server => self.0.code == Code::Unavailable,
        }
    }

    /// Whether the server cannot have begun the call.
    pub(crate) fn is_before_the_call(&self) -> bool {
        self.0.origin == Origin::Connect
    }

    /// Whether the same call may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self.0.origin {
            Origin::Client => false,
            Origin::Connect | Origin::Transport => true,
            Origin::Server => {
                self.0.code == Code::Unavailable || self.0.details.retry_info().is_some()
            }
        }
    }

    /// The error of one result among several.
    #[expect(
        clippy::disallowed_methods,
        reason = "the status is read at once and goes nowhere"
    )]
    pub(crate) fn from_rpc(status: &tonic_types::Status) -> Self {
        let details = status.encode_to_vec().into();
        let code = Code::from_i32(status.code);
        Self::from_status(Status::with_details(code, &status.message, details))
    }

    /// Reads a status, wherever it came from.
    pub(crate) fn from_status(status: Status) -> Self {
        // A status that was read from the server's trailers has no source; those that the
        // transport makes up have one.
        let origin = match status.source() {
            None => Origin::Server,
            Some(source) if chain_has::<ConnectError>(source) => Origin::Connect,
            Some(_) => Origin::Transport,
        };
        let timed_out = status.source().is_some_and(chain_has::<TimeoutExpired>);
        let code = match origin {
            Origin::Transport if timed_out => Code::DeadlineExceeded,
            Origin::Connect | Origin::Transport => Code::Unavailable,
            Origin::Client | Origin::Server => status.code(),
        };
        let message = match origin {
            Origin::Connect => no_connection(&status),
            Origin::Transport if timed_out => "the server did not answer in time".to_owned(),
            Origin::Transport => "the connection to the server was lost".to_owned(),
            Origin::Client | Origin::Server => status.message().to_owned(),
        };
        Self(Box::new(Inner {
            origin,
            code,
            message,
            details: status.get_error_details(),
            source: Some(Box::new(status)),
        }))
    }

    /// The call is refused before it is sent.
    pub(crate) fn config(message: String) -> Self {
        Self::plain(Origin::Client, Code::InvalidArgument, message, None)
    }

    /// The first connection could not be made.
    pub(crate) fn connect(error: tonic::transport::Error) -> Self {
        let message = no_connection(&error);
        Self::plain(
            Origin::Connect,
            Code::Unavailable,
            message,
            Some(Box::new(error)),
        )
    }

    /// The time of a call was up.
    pub(crate) fn deadline(limit: Duration) -> Self {
        Self::plain(
            Origin::Transport,
            Code::DeadlineExceeded,
            format!("the server did not answer within {limit:?}"),
            None,
        )
    }

    /// A stream ended that should have gone on.
    pub(crate) fn ended_early() -> Self {
        Self::plain(
            Origin::Transport,
            Code::Unavailable,
            "the server ended the stream before the job ended".to_owned(),
            None,
        )
    }

    fn plain(
        origin: Origin,
        code: Code,
        message: String,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Inner {
            origin,
            code,
            message,
            details: ErrorDetails::new(),
            source,
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message(), self.code_name())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("origin", &self.0.origin)
            .field("reason", &self.reason())
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

/// Says that there is no connection, with the innermost cause, such as a refused connection.
fn no_connection(error: &(dyn StdError + 'static)) -> String {
    let cause = causes(error).last().unwrap_or(error);
    format!("no connection to the server could be made: {cause}")
}

fn chain_has<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|error| error.is::<E>())
}

/// An error, its source, its source's source and so on.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        (*error).source()
    })
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "they stand in for the server, whose errors are statuses"
    )]

    use super::*;

    #[test]
    fn details_are_decoded() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info(
                "BAD_SPEC",
                "headway.dev",
                [("limit".to_owned(), "1".to_owned())],
            )
            .add_bad_request_violation("spec.batch.splitter", "unknown splitter")
            .add_precondition_failure_violation("STATE", "job", "it has ended")
            .set_resource_info("headway.dev/Job", "partitions/p/jobs/j", "", "exists")
            .set_retry_info(Some(Duration::from_secs(2)));
        let error = Error::from_status(Status::with_error_details(
            Code::InvalidArgument,
            "the spec is not valid",
            details,
        ));
        assert_eq!(
            error.to_string(),
            "the spec is not valid (INVALID_ARGUMENT)"
        );
        assert_eq!(error.reason(), Some("BAD_SPEC"));
        assert_eq!(error.metadata().map(|map| map["limit"].as_str()), Some("1"));
        assert_eq!(error.field_violations()[0].field, "spec.batch.splitter");
        assert_eq!(
            error.precondition_violations()[0].description,
            "it has ended"
        );
        let resource = error
            .resource_info()
            .map(|info| info.resource_name.as_str());
        assert_eq!(resource, Some("partitions/p/jobs/j"));
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(2)));
        assert!(error.is_passing() && !error.is_unreachable() && !error.is_client_side());
    }

    #[test]
    fn a_status_without_details_has_none() {
        let error = Error::from_status(Status::internal("oops"));
        assert_eq!(error.reason(), None);
        assert!(error.field_violations().is_empty() && error.precondition_violations().is_empty());
        assert!(!error.is_passing());
    }

    #[test]
    fn a_transport_timeout_is_a_deadline() {
        let status = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!(
            status.code(),
            Code::Cancelled,
            "the reason for the translation"
        );
        let error = Error::from_status(status);
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.is_unreachable());
    }
}
