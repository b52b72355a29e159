//! Progress of a job: the percentage, which never decreases, and the time left.

use super::{counts::Counts, job::Job, state::Phase};
use crate::values::time::Micros;

/// Percentages and fractions are counted in millionths.
pub const MILLIONTHS: u32 = 1_000_000;

/// Items expected in all, and whether that number is final.
pub fn expected(counts: &Counts) -> (u64, bool) {
    let known = counts.known.max(counts.declared + counts.undeclared);
    (known, counts.undeclared_unsplit == 0)
}

/// The part of the job that is done, in millionths, without the high-water mark. Where sizes are
/// unknown, an unsplit page counts as the mean of the split ones.
fn part(counts: &Counts) -> u32 {
    let (expected, _) = expected(counts);
    let unseen = if counts.undeclared_unsplit == 0 {
        0.0
    } else if counts.undeclared_pages == 0 {
        return 0;
    } else {
        let mean = counts.undeclared as f64 / counts.undeclared_pages as f64;
        mean.max(1.0) * counts.undeclared_unsplit as f64
    };
    let total = expected as f64 + unseen;
    if total == 0.0 {
        return 0;
    }
    let done = counts.done as f64 + counts.fractions as f64 / f64::from(MILLIONTHS);
    ((done / total * f64::from(MILLIONTHS)) as u32).min(MILLIONTHS - 1)
}

impl Job {
    /// Raises the percentage and samples the rate; part of every change.
    pub(crate) fn note_progress(&mut self, now: Micros) {
        let mark = if self.phase == Phase::Completed {
            MILLIONTHS
        } else {
            part(&self.counts)
        };
        self.percent_mark = self.percent_mark.max(mark);
        let counts = &self.counts;
        self.rate.sample(counts.done + counts.failed, now);
    }

    /// 0 to 100; 100 only when COMPLETED.
    pub fn percentage(&self) -> f64 {
        f64::from(self.percent_mark) / f64::from(MILLIONTHS) * 100.0
    }

    /// Items ended per second; 0 when nothing moves or the job has ended.
    pub fn items_per_second(&self, now: Micros) -> f64 {
        if self.phase.is_final() {
            return 0.0;
        }
        self.rate.now(self.counts.done + self.counts.failed, now)
    }

    /// How long the rest will take, in microseconds; unknown while the rate or the total is.
    pub fn time_left(&self, now: Micros) -> Option<Micros> {
        let rate = self.items_per_second(now);
        if !self.is_running() || rate <= 0.0 {
            return None;
        }
        let (expected, total_final) = expected(&self.counts);
        if !total_final {
            let share = self.percentage() / 100.0;
            if share <= 0.0 {
                return None;
            }
            let ended = self.counts.done as f64;
            return Some(((ended / share - ended) / rate * 1e6) as Micros);
        }
        let left =
            expected.saturating_sub(self.counts.done + self.counts.failed + self.counts.discarded);
        Some((left as f64 / rate * 1e6) as Micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_where_sizes_are_known() {
        let counts = Counts {
            known: 4096,
            done: 1000,
            declared: 4000,
            ..Counts::default()
        };
        assert_eq!(
            expected(&Counts {
                known: 10,
                declared: 4000,
                ..Counts::default()
            }),
            (4000, true)
        );
        assert!(part(&counts) < MILLIONTHS);
        let quarter = Counts {
            known: 2000,
            done: 1000,
            declared: 4000,
            ..Counts::default()
        };
        assert_eq!(part(&quarter), MILLIONTHS / 4);
    }

    #[test]
    fn unseen_pages_count_as_the_mean() {
        let counts = Counts {
            known: 10,
            undeclared: 10,
            undeclared_pages: 2,
            undeclared_unsplit: 2,
            done: 10,
            ..Counts::default()
        };
        assert_eq!(part(&counts), MILLIONTHS / 2);
    }
}
