//! The history of the job's progress, for a chart.

use crate::{jobs::history::Sample, slice::job_slice::JobSlice, values::time::Micros};

/// The least time between two entries.
const MIN_SAMPLE_INTERVAL: Micros = 1_000_000;
/// The time between two entries is at least the job's age divided by this.
const SAMPLES_PER_AGE: Micros = 100;

impl JobSlice {
    /// Adds an entry when the rate was sampled and the last entry is old enough, and at the end of
    /// a job that has a history. So a job that ends within a second has none, and one of `t`
    /// seconds has about `100 + 100 ln(t / 100)` entries: 1,120 after 30 days.
    pub(crate) fn sample(&mut self, now: Micros) {
        let age = now - self.job.meta.created;
        let due = match self.job.sampled {
            Some(last) => {
                self.ended_now() || now - last >= MIN_SAMPLE_INTERVAL.max(age / SAMPLES_PER_AGE)
            }
            None => age >= MIN_SAMPLE_INTERVAL && !self.ended_now(),
        };
        let measured = self.job.rate.sampled == now || self.ended_now();
        if !due || !measured || self.job.sampled == Some(now) {
            return;
        }
        self.job.sampled = Some(now);
        let counts = &self.job.counts;
        self.sample = Some(Sample {
            time: now,
            done: counts.done,
            failed: counts.failed,
            in_flight: counts.in_flight(),
            known: counts.known,
            run: self.job.run,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slice::testing::{SECOND, job, moment};

    /// The times of the entries of a job that changes once a second, over this many seconds.
    fn entries(seconds: i64) -> Vec<Micros> {
        let mut slice = job(0, |_| {});
        let mut times = Vec::new();
        for second in 0..=seconds {
            let mut next = JobSlice::new(slice.job.clone(), moment(second * SECOND));
            next.changed = true;
            next.seal();
            times.extend(next.sample.map(|sample| sample.time / SECOND));
            slice = next;
        }
        times
    }

    #[test]
    fn every_second_at_first_and_then_by_age() {
        let times = entries(400);
        assert_eq!(times[..90], (1..=90).collect::<Vec<_>>());
        let last = times.windows(2).last().unwrap();
        assert_eq!(last[1] - last[0], 4);
        assert!(entries(0).is_empty());
    }

    #[test]
    fn a_month_has_less_than_can_be_listed() {
        // A change every second of a month would take too long here: 10 days already show the
        // growth.
        let days = entries(864_000).len();
        assert!(days < 1_400, "{days}");
    }
}
