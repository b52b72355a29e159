//! What one batch worker knows of pipes that do not take messages: while a pipe is in trouble its
//! messages wait in the outbox, and one publish at a time finds out whether it takes them again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a pipe is left alone after its first failure; twice as long after each further one, up
/// to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Pipes in trouble that are kept; beyond them those whose time is over are forgotten.
const KEPT: usize = 10_000;

/// Pipes in trouble.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    troubles: Mutex<HashMap<String, Trouble>>,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    pause: Duration,
    until: Instant,
}

impl Pipes {
    /// How long messages to a pipe have to wait; `None` if they are to be published now. Of a pipe
    /// whose pause is over, the first caller publishes and the others wait for another pause.
    pub(crate) fn wait(&self, pipe: &str) -> Option<Duration> {
        let mut troubles = self.lock();
        let trouble = troubles.get_mut(pipe)?;
        let now = Instant::now();
        match trouble.until.checked_duration_since(now) {
            Some(left) if !left.is_zero() => Some(left),
            _ => {
                trouble.until = now + trouble.pause;
                None
            }
        }
    }

    /// Notes that a pipe did not take messages; how long it is left alone.
    pub(crate) fn failed(&self, pipe: &str) -> Duration {
        let now = Instant::now();
        let mut troubles = self.lock();
        if troubles.len() >= KEPT {
            troubles.retain(|_, trouble| trouble.until > now);
        }
        let before = troubles.get(pipe).map(|trouble| trouble.pause);
        let pause = before.map_or(FIRST, |pause| (pause * 2).min(LONGEST));
        let until = now + pause;
        troubles.insert(pipe.to_owned(), Trouble { pause, until });
        pause
    }

    /// Notes that a pipe takes messages.
    pub(crate) fn worked(&self, pipe: &str) {
        self.lock().remove(pipe);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pipe_in_trouble_is_tried_by_one_at_a_time_and_ever_more_seldom() {
        let pipes = Pipes::default();
        assert_eq!(pipes.wait("p"), None);
        assert_eq!(pipes.failed("p"), FIRST);
        assert_eq!(pipes.wait("p"), Some(FIRST));
        assert_eq!(pipes.wait("other"), None);
        tokio::time::advance(FIRST).await;
        assert_eq!(pipes.wait("p"), None);
        assert_eq!(pipes.wait("p"), Some(FIRST));
        assert_eq!(pipes.failed("p"), FIRST * 2);
        for _ in 0..10 {
            assert!(pipes.failed("p") <= LONGEST);
        }
        pipes.worked("p");
        assert_eq!(pipes.wait("p"), None);
    }
}
