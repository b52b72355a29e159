//! A bucket that fills up at a rate, for limits per second.

use crate::values::time::Micros;

/// A token bucket. It fills at a rate, gives integers, and holds at most the tokens of one second,
/// but at least one.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    level: f64,
    filled: Micros,
}

impl Bucket {
    /// An empty one.
    pub fn new(now: Micros) -> Self {
        Self {
            level: 0.0,
            filled: now,
        }
    }

    /// Fills it up to now and returns how many tokens it holds.
    pub fn fill(&mut self, per_second: f64, now: Micros) -> u32 {
        let seconds = (now - self.filled).max(0) as f64 / 1_000_000.0;
        self.filled = self.filled.max(now);
        self.level = (self.level + per_second * seconds).min(per_second.max(1.0));
        self.level as u32
    }

    /// Takes tokens out.
    pub fn take(&mut self, pieces: u32) {
        self.level = (self.level - f64::from(pieces)).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    #[test]
    fn a_bucket_gives_no_more_than_its_rate() {
        let mut bucket = Bucket::new(0);
        let mut taken = 0;
        for quarter in 1..=40 {
            let tokens = bucket.fill(2.5, quarter * SECOND / 4);
            bucket.take(tokens);
            taken += tokens;
        }
        assert_eq!(taken, 25);
    }

    #[test]
    fn a_bucket_saves_up_one_second() {
        let mut bucket = Bucket::new(0);
        assert_eq!(bucket.fill(100.0, 60 * SECOND), 100);
        bucket.take(100);
        assert_eq!(bucket.fill(100.0, 60 * SECOND), 0);
        // A clock that goes back adds nothing.
        assert_eq!(bucket.fill(100.0, 50 * SECOND), 0);
        // A slow rate reaches a token too.
        let mut slow = Bucket::new(0);
        assert_eq!(slow.fill(0.25, 3 * SECOND), 0);
        assert_eq!(slow.fill(0.25, 4 * SECOND), 1);
    }
}
