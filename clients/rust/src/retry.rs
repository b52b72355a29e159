//! When a call is tried again, and after what time.

use headway_retry::Backoff;

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

/// The delays between the attempts of one call, or of one watch to connect again.
pub(crate) fn backoff(config: &RetryConfig) -> Backoff {
    let initial = config.initial_backoff.min(config.max_backoff);
    // Whoever asks for no delay gets none that grows.
    let max = if initial.is_zero() {
        initial
    } else {
        config.max_backoff
    };
    Backoff::new(initial, max)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "they stand in for the server, whose errors are statuses"
    )]

    use std::time::Duration;

    use super::*;

    #[test]
    fn delays_are_those_of_the_configuration() {
        let delays = |initial_ms, max_ms| {
            let config = RetryConfig {
                max_attempts: 9,
                initial_backoff: Duration::from_millis(initial_ms),
                max_backoff: Duration::from_millis(max_ms),
            };
            let mut backoff = backoff(&config);
            [(); 6].map(|()| backoff.next_after(None))
        };
        let bounds = [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis);
        for (delay, bound) in delays(100, 1000).into_iter().zip(bounds) {
            assert!(delay >= bound / 2 && delay <= bound, "{delay:?}");
        }
        let ten = Duration::from_millis(10);
        assert!(delays(100, 10).into_iter().all(|delay| delay <= ten));
        let one = Duration::from_millis(1);
        assert!(delays(0, 1000).into_iter().all(|delay| delay <= one));
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
