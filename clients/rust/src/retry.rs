//! When a call is tried again, and after what time.

use std::time::Duration;

use crate::{Error, RetryConfig};

/// Whether doing a call twice is the same as doing it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It is: the call may be sent again after any passing error.
    Harmless,
    /// It is not: the call is sent again only if the server cannot have begun it.
    Harmful,
}

impl Repeat {
    /// Whether a call that ended with `error` may be sent again.
    pub(crate) fn allows(self, error: &Error) -> bool {
        match self {
            Self::Harmless => error.is_passing(),
            Self::Harmful => error.is_before_the_call(),
        }
    }
}

/// The delays between the attempts of one call.
#[derive(Debug)]
pub(crate) struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(config: &RetryConfig) -> Self {
        Self {
            initial: config.initial_backoff,
            max: config.max_backoff,
            failures: 0,
        }
    }

    /// How many delays were taken since the start or the last reset.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Something went well: the next delay is the first one again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next delay: never less than the server `asked` for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        self.next_with(asked, rand::random())
    }

    /// The next delay with its random part given, 0 to 1.
    fn next_with(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        let full = self.initial.saturating_mul(factor).min(self.max);
        self.failures = self.failures.saturating_add(1);
        // Half fixed, half random: clients that failed together do not return together.
        let own = full.mul_f64(0.5 + 0.5 * random);
        // The server's delay is spread upwards, for the same reason.
        let asked = asked.map(|asked| asked.saturating_add(own.mul_f64(0.5).min(asked)));
        own.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(&RetryConfig {
            max_attempts: 9,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
        })
    }

    #[test]
    fn delays_double_up_to_the_limit() {
        let mut backoff = backoff();
        let longest: Vec<_> = (0..6)
            .map(|_| backoff.next_with(None, 1.0).as_millis())
            .collect();
        assert_eq!(longest, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.failures(), 6);
        backoff.reset();
        assert_eq!(backoff.next_with(None, 0.0).as_millis(), 50);
    }

    #[test]
    fn the_exponent_does_not_overflow() {
        let mut backoff = backoff();
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next_with(None, 1.0).as_millis(), 1000);
        assert_eq!(backoff.failures(), u32::MAX);
    }

    #[test]
    fn the_server_is_never_asked_too_early() {
        for random in [0.0, 0.5, 1.0] {
            let asked = Duration::from_secs(3);
            let delay = backoff().next_with(Some(asked), random);
            assert!(delay >= asked && delay < asked * 2, "{delay:?}");
            let delay = backoff().next_with(Some(Duration::ZERO), random);
            assert!(delay >= Duration::from_millis(50), "{delay:?}");
        }
    }

    #[test]
    fn only_harmless_calls_are_repeated_after_an_answer() {
        let error = Error::from_status(tonic::Status::unavailable("starting"));
        assert!(Repeat::Harmless.allows(&error));
        assert!(!Repeat::Harmful.allows(&error));
        let error = Error::from_status(tonic::Status::internal("broken"));
        assert!(!Repeat::Harmless.allows(&error));
    }
}
