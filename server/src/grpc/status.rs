//! Errors as clients see them: with its folder, the one place that makes a `tonic::Status`.
//!
//! Each carries `google.rpc` details. `ErrorInfo` is always there; its reason is for programs, the
//! message says to people what to do. What happened inside is logged and never sent.

#![expect(
    clippy::disallowed_methods,
    reason = "statuses are made here, and nowhere else"
)]
// Whoever adds an error decides here what clients see of it.
#![deny(clippy::wildcard_enum_match_arm)]

mod answer;
mod domain;

use std::time::Duration;

use headway_domain::{Error, values::text::clean};
use headway_store::{Position, StoreError};
use tonic::{Code, Status};
use uuid::Uuid;

use self::{
    answer::{Answer, FIELD_BYTES},
    domain::from_domain,
};
use super::tokens::cursor_text;
use crate::gate::Door;

/// When to try again what only needs a moment.
const SOON: Duration = Duration::from_secs(1);

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
    /// Decoding the request would take more than this many bytes of memory.
    TooCostly(usize),
    /// The request was not complete, and nothing more of it came in this time.
    SlowRequest(Duration),
    /// The client's address has its share of the calls under way, or of open streams.
    ClientBusy(&'static str),
    /// This many streams are open on one connection.
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

/// The bare answer to a call of a service that does not exist. The edge adds the details.
pub(crate) fn unknown_service() -> Status {
    Status::unimplemented("")
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

#[cfg(test)]
mod tests;
