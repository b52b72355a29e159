//! Waiting between attempts: capped exponential delays with jitter, and a retry loop that a
//! shutdown ends.

use std::fmt;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Exponential delays: each about twice the one before, never more than a maximum.
///
/// Half of a delay is fixed and half is random ("equal jitter"), so that processes that lost the
/// same peer do not come back in step, and yet nobody retries at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Delays from `initial` up to `max`. An `initial` of zero counts as one millisecond, so that
    /// the delays grow; a `max` below `initial` counts as `initial`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        let initial = initial.max(Duration::from_millis(1));
        Self {
            initial,
            max: max.max(initial),
            ceiling: initial,
        }
    }

    /// The next delay: between half of the current ceiling and the whole of it.
    #[expect(
        clippy::should_implement_trait,
        reason = "there is always a next delay, so an iterator's Option would only be in the way"
    )]
    pub fn next(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(self.max);
        rand::random_range(ceiling / 2..=ceiling)
    }

    /// Begins again with the initial delay. Call it after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.initial;
    }
}

/// Why [`retry`] ended without a result.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RetryError<E> {
    /// The token was cancelled before an attempt succeeded.
    #[error("stopped before an attempt succeeded")]
    Cancelled,
    /// An attempt failed in a way that another attempt cannot mend.
    #[error(transparent)]
    Lasting(E),
}

/// Repeats `attempt` until it succeeds, fails for a lasting reason (`passing` says no), or `shutdown`
/// is cancelled. Each passing failure is logged under the name `what`, then a delay is awaited.
///
/// # Errors
/// [`RetryError::Lasting`] with the attempt's own error; [`RetryError::Cancelled`] at shutdown. A
/// running attempt is dropped then, so it must be safe to cancel.
pub async fn retry<T, E, Attempt>(
    what: &str,
    mut backoff: Backoff,
    shutdown: &CancellationToken,
    passing: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<T, RetryError<E>>
where
    E: fmt::Display,
    Attempt: Future<Output = Result<T, E>>,
{
    loop {
        let result = shutdown
            .run_until_cancelled(attempt())
            .await
            .ok_or(RetryError::Cancelled)?;
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) if passing(&error) => error,
            Err(error) => return Err(RetryError::Lasting(error)),
        };
        let delay = backoff.next();
        tracing::warn!(%what, %error, ?delay, "an attempt failed; trying again");
        shutdown
            .run_until_cancelled(tokio::time::sleep(delay))
            .await
            .ok_or(RetryError::Cancelled)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use tokio::time::Instant;

    const MS: Duration = Duration::from_millis(1);

    proptest! {
        #[test]
        fn delays_double_up_to_the_maximum_and_begin_again(initial in 1u32..5_000, max in 1u32..60_000) {
            let (initial, max) = (initial * MS, max * MS);
            let mut backoff = Backoff::new(initial, max);
            let mut ceiling = initial;
            for _ in 0..40 {
                let delay = backoff.next();
                prop_assert!(delay >= ceiling / 2 && delay <= ceiling, "{delay:?} against {ceiling:?}");
                ceiling = (ceiling * 2).min(max.max(initial));
            }
            backoff.reset();
            prop_assert!(backoff.next() <= initial);
        }
    }

    #[test]
    fn delays_are_spread() {
        let second = Duration::from_secs(1);
        let delays: std::collections::BTreeSet<_> = (0..100)
            .map(|_| Backoff::new(second, second).next())
            .collect();
        assert!(delays.len() > 50, "only {} different delays", delays.len());
    }

    #[test]
    fn odd_bounds_are_mended() {
        assert!(Backoff::new(Duration::ZERO, Duration::ZERO).next() > Duration::ZERO);
        let mut longest = Backoff::new(Duration::MAX, Duration::ZERO);
        assert!(longest.next() >= Duration::MAX / 2);
        assert!(longest.next() >= Duration::MAX / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_passing_errors_until_success() {
        let started = Instant::now();
        let attempts = Cell::new(0);
        let shutdown = CancellationToken::new();
        let result = retry(
            "probe",
            Backoff::new(100 * MS, 200 * MS),
            &shutdown,
            |_: &&str| true,
            || {
                attempts.set(attempts.get() + 1);
                let number = attempts.get();
                async move { if number < 4 { Err("away") } else { Ok(number) } }
            },
        );
        assert_eq!(result.await, Ok(4));
        // Three delays with ceilings 100, 200 and 200 ms; tokio's clock counts whole milliseconds.
        let waited = started.elapsed();
        assert!(waited >= 250 * MS && waited <= 503 * MS, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_error_ends_it_at_once() {
        let started = Instant::now();
        let result: Result<(), _> = retry(
            "probe",
            Backoff::new(MS, MS),
            &CancellationToken::new(),
            |_| false,
            async || Err("no"),
        )
        .await;
        assert_eq!(result, Err(RetryError::Lasting("no")));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_a_delay_and_an_attempt() {
        let shutdown = CancellationToken::new();
        let hour = Duration::from_secs(3600);
        let canceller = async {
            tokio::time::sleep(10 * MS).await;
            shutdown.cancel();
        };
        let delayed = retry(
            "delay",
            Backoff::new(hour, hour),
            &shutdown,
            |_| true,
            async || Err::<(), _>("away"),
        );
        let hanging = retry(
            "hang",
            Backoff::new(hour, hour),
            &shutdown,
            |_: &&str| true,
            std::future::pending::<Result<(), _>>,
        );
        let started = Instant::now();
        let (delayed, hanging, ()) = tokio::join!(delayed, hanging, canceller);
        assert_eq!(delayed, Err(RetryError::Cancelled));
        assert_eq!(hanging, Err(RetryError::Cancelled));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
