//! Trying again: capped exponential delays with jitter, and a loop over attempts that a shutdown
//! ends.

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
    delays: u32,
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
            delays: 0,
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
        self.delays = self.delays.saturating_add(1);
        rand::random_range(ceiling / 2..=ceiling)
    }

    /// The next delay, and never less than the peer asked for. What it asks for is spread upwards,
    /// so that those whom it turned away together do not come back together.
    pub fn next_after(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next();
        let asked = asked.map(|asked| asked.saturating_add((own / 2).min(asked)));
        own.max(asked.unwrap_or_default())
    }

    /// How many delays were taken since the start or the last reset.
    pub fn delays(&self) -> u32 {
        self.delays
    }

    /// Begins again with the initial delay. Call it after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.initial;
        self.delays = 0;
    }

    /// Waits for the next delay; `false` if `stop` was cancelled before it was over.
    pub async fn pause(&mut self, stop: &CancellationToken) -> bool {
        stop.run_until_cancelled(tokio::time::sleep(self.next()))
            .await
            .is_some()
    }
}

/// Why [`retry`] ended without a result.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RetryError<E> {
    /// The token was cancelled before an attempt succeeded.
    #[error("stopped before an attempt succeeded")]
    Stopped,
    /// An attempt failed in a way that another attempt cannot mend.
    #[error(transparent)]
    Lasting(E),
}

/// Repeats `attempt` until it succeeds, fails for a lasting reason, or `stop` is cancelled.
/// `passes` looks at each error, to log it and to say whether another attempt may mend it.
///
/// An attempt that is under way when `stop` is cancelled is finished.
///
/// # Errors
/// [`RetryError::Lasting`] with the attempt's own error; [`RetryError::Stopped`] if `stop` was
/// cancelled.
pub async fn retry<T, E, Attempt>(
    mut backoff: Backoff,
    stop: &CancellationToken,
    mut attempt: impl FnMut() -> Attempt,
    mut passes: impl FnMut(&E) -> bool,
) -> Result<T, RetryError<E>>
where
    Attempt: Future<Output = Result<T, E>>,
{
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(RetryError::Lasting(error)),
        }
        if !backoff.pause(stop).await {
            return Err(RetryError::Stopped);
        }
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

    #[test]
    fn delays_are_counted() {
        let mut backoff = Backoff::new(MS, MS);
        for _ in 0..3 {
            backoff.next();
        }
        assert_eq!(backoff.delays(), 3);
        backoff.delays = u32::MAX;
        backoff.next();
        assert_eq!(backoff.delays(), u32::MAX);
        backoff.reset();
        assert_eq!(backoff.delays(), 0);
    }

    #[test]
    fn the_peer_is_never_asked_too_early() {
        let mut backoff = Backoff::new(100 * MS, 1000 * MS);
        for _ in 0..100 {
            let asked = Duration::from_secs(3);
            let delay = backoff.next_after(Some(asked));
            assert!(delay >= asked && delay < asked * 2, "{delay:?}");
            let delay = backoff.next_after(Some(Duration::ZERO));
            assert!(delay >= 50 * MS && delay <= 1000 * MS, "{delay:?}");
            assert!(backoff.next_after(None) >= 50 * MS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retries_passing_errors_until_success() {
        let started = Instant::now();
        let attempts = Cell::new(0);
        let stop = CancellationToken::new();
        let result = retry(
            Backoff::new(100 * MS, 200 * MS),
            &stop,
            || {
                attempts.set(attempts.get() + 1);
                let number = attempts.get();
                async move { if number < 4 { Err("away") } else { Ok(number) } }
            },
            |_| true,
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
            Backoff::new(MS, MS),
            &CancellationToken::new(),
            async || Err("no"),
            |_| false,
        )
        .await;
        assert_eq!(result, Err(RetryError::Lasting("no")));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_a_delay_and_lets_an_attempt_finish() {
        let stop = CancellationToken::new();
        let hour = Duration::from_secs(3600);
        let canceller = async {
            tokio::time::sleep(10 * MS).await;
            stop.cancel();
        };
        let delayed = retry(
            Backoff::new(hour, hour),
            &stop,
            async || Err::<(), _>("away"),
            |_| true,
        );
        let late = retry(
            Backoff::new(hour, hour),
            &stop,
            async || {
                tokio::time::sleep(20 * MS).await;
                Ok::<_, &str>(())
            },
            |_| true,
        );
        let started = Instant::now();
        let (delayed, late, ()) = tokio::join!(delayed, late, canceller);
        assert_eq!(delayed, Err(RetryError::Stopped));
        assert_eq!(late, Ok(()));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
