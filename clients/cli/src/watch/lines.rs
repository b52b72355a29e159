//! Progress as plain lines: for each job at most one a second, and every change of state at once.

use std::time::Duration;

use headway::v1::JobState;
use tokio::time::Instant;

/// The shortest time between two lines about one job in one state.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which lines are printed, and when.
#[derive(Debug)]
pub(crate) struct Lines {
    jobs: Vec<Progress>,
}

#[derive(Debug, Default, Clone)]
struct Progress {
    /// The state that was printed last, and when.
    printed: Option<(JobState, Instant)>,
    /// The newest line that waits for its time.
    waiting: Option<String>,
}

impl Lines {
    /// Nothing printed yet of this many jobs.
    pub(crate) fn new(jobs: usize) -> Self {
        Self {
            jobs: vec![Progress::default(); jobs],
        }
    }

    /// Takes a job's newest line; gives it back if it is to be printed now. Else it waits, and
    /// replaces the one that waited.
    pub(crate) fn offer(
        &mut self,
        job: usize,
        state: JobState,
        line: String,
        now: Instant,
    ) -> Option<String> {
        let progress = self.jobs.get_mut(job)?;
        let early = match progress.printed {
            Some((printed, at)) => printed == state && now < at + INTERVAL,
            None => false,
        };
        if early {
            progress.waiting = Some(line);
            return None;
        }
        progress.waiting = None;
        progress.printed = Some((state, now));
        Some(line)
    }

    /// When the next waiting line is to be printed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.jobs.iter().filter_map(Progress::due).min()
    }

    /// The waiting lines whose time has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let due = self
            .jobs
            .iter_mut()
            .filter(|progress| progress.due().is_some_and(|due| due <= now));
        due.filter_map(|progress| {
            progress.printed = progress.printed.map(|(state, _)| (state, now));
            progress.waiting.take()
        })
        .collect()
    }
}

impl Progress {
    fn due(&self) -> Option<Instant> {
        self.waiting.as_ref()?;
        Some(self.printed?.1 + INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use JobState::{Active, Paused};

    #[test]
    fn one_a_second_and_the_newest_of_them() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut lines = Lines::new(1);
        let offer = |lines: &mut Lines, text: &str, millis| {
            lines.offer(0, Active, text.to_owned(), at(millis))
        };
        assert_eq!(offer(&mut lines, "a", 0).as_deref(), Some("a"));
        assert_eq!(lines.due(), None);
        assert_eq!(offer(&mut lines, "b", 100), None);
        assert_eq!(offer(&mut lines, "c", 900), None);
        assert_eq!(lines.due(), Some(at(1000)));
        assert!(lines.take_due(at(999)).is_empty());
        assert_eq!(lines.take_due(at(1000)), ["c"]);
        assert_eq!(lines.due(), None);
        assert_eq!(offer(&mut lines, "d", 1999), None);
        assert_eq!(offer(&mut lines, "e", 2000).as_deref(), Some("e"));
        assert!(lines.take_due(at(9000)).is_empty(), "d is older than e");
    }

    #[test]
    fn a_change_of_state_does_not_wait() {
        let now = Instant::now();
        let mut lines = Lines::new(2);
        assert!(lines.offer(0, Active, "a".to_owned(), now).is_some());
        assert!(lines.offer(0, Paused, "b".to_owned(), now).is_some());
        assert!(
            lines.offer(1, Paused, "c".to_owned(), now).is_some(),
            "jobs are apart"
        );
        assert!(lines.offer(0, Paused, "d".to_owned(), now).is_none());
        assert!(
            lines.offer(7, Paused, "e".to_owned(), now).is_none(),
            "not one of ours"
        );
    }
}
