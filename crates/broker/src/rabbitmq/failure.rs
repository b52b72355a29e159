//! From the client library's errors to ours, in one place.

use std::future::Future;
use std::time::Duration;

use lapin::{Error, ErrorKind};

use crate::BrokerError;

/// How long one exchange with the broker may take. Declaring a replicated queue needs a few seconds
/// on a cluster that has just lost a node.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(15);

/// The reply code for something that does not exist.
const NOT_FOUND: u16 = 404;

/// The reply code for something that exists with other arguments.
const PRECONDITION_FAILED: u16 = 406;

fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Whether the broker said that the queue does not exist.
pub(super) fn is_not_found(error: &Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

/// Whether the broker said that the queue exists with other arguments.
pub(super) fn is_declared_otherwise(error: &Error) -> bool {
    reply_code(error) == Some(PRECONDITION_FAILED)
}

/// Every error of the client library passes, as far as a caller can tell: connections are repaired
/// and channels opened again.
pub(super) fn unavailable(error: &Error) -> BrokerError {
    BrokerError::Unavailable(error.to_string())
}

/// Bounds an exchange; the outer error is a timeout.
pub(super) async fn bounded<T>(
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>, BrokerError> {
    tokio::time::timeout(EXCHANGE_TIMEOUT, exchange)
        .await
        .map_err(|_| BrokerError::Unavailable("the broker did not answer in time".into()))
}

/// Bounds an exchange of which every failure is the same to the caller.
pub(super) async fn exchange<T>(
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<T, BrokerError> {
    bounded(exchange)
        .await?
        .map_err(|error| unavailable(&error))
}
