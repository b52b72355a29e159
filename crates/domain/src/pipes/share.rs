//! A job's share of its pipe: what it may have out, and how much more it may send where a pipe takes only so many items a second.

use crate::{Job, Micros, slice::JobSlice};

/// What a job may send to its pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Items that may be out at once.
    pub allowance: u32,
    /// Items that it may send beside those that it may send already; `None` where the pipe has no limit of items per second.
    pub grant: Option<u32>,
}

impl Share {
    /// A share of a pipe that takes as many items a second as it can.
    pub fn of(allowance: u32) -> Self {
        Self {
            allowance,
            grant: None,
        }
    }
}

impl Job {
    /// How many more items the job may send now, of which it has `out` out.
    pub fn sendable(&self, out: u64) -> u64 {
        let free = self.limit().saturating_sub(out);
        self.tokens
            .map_or(free, |tokens| free.min(u64::from(tokens)))
    }
}

impl JobSlice {
    /// Gives the job another share of its pipe. One that has ended since shares were divided needs none, and does not change any more.
    pub fn set_share(&mut self, share: Share) {
        if self.job.phase.is_final() {
            return;
        }
        let tokens = share
            .grant
            .map(|grant| self.job.tokens.unwrap_or(0).saturating_add(grant));
        if (self.job.allowance, self.job.tokens) == (share.allowance, tokens) {
            return;
        }
        self.changed = true;
        self.job.allowance = share.allowance;
        self.job.tokens = tokens;
    }

    /// Gives a job whose window was widened at least what a new one may have out, for its share was measured by the old window; not
    /// where pipes have limits.
    pub fn widen(&mut self, allowance: u32) {
        if !self.moment.rationed {
            self.job.allowance = self.job.allowance.max(allowance);
        }
    }

    /// Takes its share from a job that begins to send again: other jobs may have what it had.
    pub(crate) fn ration(&mut self) {
        if self.moment.rationed {
            self.job.allowance = 0;
        }
    }

    /// Notes that so many items are sent.
    pub(crate) fn spend(&mut self, items: u64) {
        if let Some(tokens) = &mut self.job.tokens {
            *tokens = tokens.saturating_sub(u32::try_from(items).unwrap_or(u32::MAX));
        }
    }
}

/// A pipe's limits, for all partitions together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PipeLimits {
    /// Items in the pipe and at its workers at most.
    pub in_flight: Option<u32>,
    /// Items sent to it per second at most, above 0.
    pub per_second: Option<f64>,
}

impl PipeLimits {
    /// Whether there is no limit.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// What a partition gets of pipes that others use too, and how much it may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionShare {
    /// Its weight against other partitions, 1 to [`crate::limits::WEIGHT`].
    pub weight: u32,
    /// Jobs that have not ended, at most.
    pub open_jobs: Option<u32>,
    /// Items in pipes and at workers, at most.
    pub in_flight: Option<u32>,
}

impl Default for PartitionShare {
    fn default() -> Self {
        Self {
            weight: 1,
            open_jobs: None,
            in_flight: None,
        }
    }
}

/// What fills up at a rate and is taken out in whole pieces; holds at most what one second brings, and at least one.
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

    /// Fills it up to now; how many whole pieces are in it.
    pub fn fill(&mut self, per_second: f64, now: Micros) -> u32 {
        let seconds = (now - self.filled).max(0) as f64 / 1_000_000.0;
        self.filled = self.filled.max(now);
        self.level = (self.level + per_second * seconds).min(per_second.max(1.0));
        self.level as u32
    }

    /// Takes out so many.
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
            let whole = bucket.fill(2.5, quarter * SECOND / 4);
            bucket.take(whole);
            taken += whole;
        }
        assert_eq!(taken, 25);
    }

    #[test]
    fn a_bucket_saves_up_one_second() {
        let mut bucket = Bucket::new(0);
        assert_eq!(bucket.fill(100.0, 60 * SECOND), 100);
        bucket.take(100);
        assert_eq!(bucket.fill(100.0, 60 * SECOND), 0);
        // Clocks that go back bring nothing.
        assert_eq!(bucket.fill(100.0, 50 * SECOND), 0);
        // Slow rates come to a whole piece too.
        let mut slow = Bucket::new(0);
        assert_eq!(slow.fill(0.25, 3 * SECOND), 0);
        assert_eq!(slow.fill(0.25, 4 * SECOND), 1);
    }
}
