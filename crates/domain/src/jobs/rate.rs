//! How many items of a job end per second.

use crate::values::time::Micros;

/// Items ended per second, smoothed over the last seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    /// When the last sample was taken; 0 before the first.
    pub sampled: Micros,
    /// Items that had ended by then.
    pub ended: u64,
    /// Items per second.
    pub per_second: f64,
}

/// The least time between two samples of the rate.
const MIN_SAMPLE_INTERVAL: Micros = 1_000_000;
/// After this time without a sample the rate is shown as 0.
const MAX_SAMPLE_AGE: Micros = 10_000_000;

impl Rate {
    /// Takes a sample if the last one is old enough.
    pub fn sample(&mut self, ended: u64, now: Micros) {
        if self.sampled == 0 || ended < self.ended {
            *self = Self {
                sampled: now,
                ended,
                per_second: 0.0,
            };
            return;
        }
        let passed = now - self.sampled;
        if passed < MIN_SAMPLE_INTERVAL {
            return;
        }
        let fresh = (ended - self.ended) as f64 * 1e6 / passed as f64;
        let blended = if self.per_second == 0.0 {
            fresh
        } else {
            (self.per_second + fresh) / 2.0
        };
        *self = Self {
            sampled: now,
            ended,
            per_second: blended,
        };
    }

    /// The rate now. In the first second it is the mean since the first sample. Without a recent
    /// sample it is 0.
    pub fn now(&self, ended: u64, now: Micros) -> f64 {
        let passed = (now - self.sampled).max(1);
        if self.sampled == 0 || passed > MAX_SAMPLE_AGE {
            return 0.0;
        }
        if self.per_second == 0.0 {
            return ended.saturating_sub(self.ended) as f64 * 1e6
                / passed.max(MIN_SAMPLE_INTERVAL / 10) as f64;
        }
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_follows_and_fades() {
        let mut rate = Rate::default();
        rate.sample(0, 1_000_000);
        rate.sample(100, 2_000_000);
        assert_eq!(rate.per_second, 100.0);
        assert_eq!(rate.now(100, 3_000_000), 100.0);
        assert_eq!(rate.now(100, 60_000_000), 0.0);
    }
}
