//! Trying again what needs the broker and does not get it.

use std::time::Duration;

use headway_retry::{Backoff, RetryError, retry};
use tokio_util::sync::CancellationToken;

use crate::BrokerError;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The delays between two tries.
pub(super) fn backoff() -> Backoff {
    Backoff::new(FIRST, LONGEST)
}

/// Tries until it works, the broker is closed, or it refuses for good: a name or a bound that it
/// never accepts.
///
/// # Errors
/// [`BrokerError::Closed`] and [`BrokerError::Refused`].
pub(super) async fn until_attached<T, Attempt>(
    closed: &CancellationToken,
    attempt: impl FnMut() -> Attempt,
    log: impl Fn(&BrokerError),
) -> Result<T, BrokerError>
where
    Attempt: Future<Output = Result<T, BrokerError>>,
{
    let attached = retry(backoff(), closed, attempt, |error| {
        let passes = !matches!(error, BrokerError::Closed | BrokerError::Refused(_));
        if passes {
            log(error);
        }
        passes
    });
    attached.await.map_err(|error| match error {
        RetryError::Stopped => BrokerError::Closed,
        RetryError::Lasting(error) => error,
    })
}
