//! Beginning to consume or to listen, with as many tries as it takes.

use std::time::Duration;

use headway_broker::BrokerError;
use headway_retry::{Backoff, RetryError, retry};
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Tries until it succeeds; `log` is told of each failure.
///
/// # Errors
/// `Closed`, once the broker was closed on purpose.
pub(crate) async fn until_attached<T, Attempt>(
    attempt: impl FnMut() -> Attempt,
    log: impl Fn(&BrokerError),
) -> Result<T, BrokerError>
where
    Attempt: Future<Output = Result<T, BrokerError>>,
{
    let backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    // Whoever waits for this drops it to stop it.
    let never = CancellationToken::new();
    let attached = retry(backoff, &never, attempt, |error| {
        let closed = *error == BrokerError::Closed;
        if !closed {
            log(error);
        }
        !closed
    });
    attached.await.map_err(|error| match error {
        RetryError::Stopped => BrokerError::Closed,
        RetryError::Lasting(error) => error,
    })
}
