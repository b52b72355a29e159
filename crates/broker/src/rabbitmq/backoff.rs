//! The pause between two tries: doubles up to a cap, with jitter, so that many processes that lost the
//! same broker do not come back in step.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(5);

/// Counts failures and says how long to pause.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause: half of it fixed, half of it random.
    pub fn pause(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(rand::random_range(0.5..1.0))
    }

    /// Something worked: start again from the shortest pause.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_again() {
        let mut backoff = Backoff::default();
        assert!(backoff.pause() <= FIRST);
        for _ in 0..100 {
            assert!(backoff.pause() <= CAP);
        }
        assert!(backoff.pause() >= CAP / 2);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
