//! How items are tried again.

use serde::{Deserialize, Serialize};

/// How an item is tried again after a retryable error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, 1 to [`crate::limits::MAX_ATTEMPTS`].
    pub max_attempts: u32,
    /// The first delay.
    pub initial_ms: u64,
    /// The longest delay.
    pub max_ms: u64,
    /// Growth of the delay, 1 to 10.
    pub multiplier: f64,
    /// The random part of the delay, 0 to 1.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            initial_ms: 1000,
            max_ms: 60_000,
            multiplier: 2.0,
            jitter: 0.2,
        }
    }
}

impl RetryPolicy {
    /// The delay in microseconds after this many failed attempts, from 1. `random` is in
    /// `0.0..1.0`. The random part shortens the delay, so that `max_ms` holds.
    pub fn delay_us(&self, failures: u32, random: f64) -> i64 {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let longest =
            (self.initial_ms as f64 * self.multiplier.powi(exponent)).min(self.max_ms as f64);
        (longest * (1.0 - self.jitter * random) * 1000.0) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_limit() {
        let retry = RetryPolicy::default();
        assert_eq!(retry.delay_us(1, 0.0), 1_000_000);
        assert_eq!(retry.delay_us(3, 0.0), 4_000_000);
        assert_eq!(retry.delay_us(100, 0.0), 60_000_000);
        assert_eq!(retry.delay_us(1, 1.0), 800_000);
    }
}
