//! Which messages have certainly come out of their pipes. A pipe that is seen empty proves it for
//! all that was sent before; for one that is never empty a *fence* does: a message that goes the
//! way of all others, through the batch queue into the pipe, and that the worker which receives it
//! reports back.
//!
//! What does not live here: what follows for pages whose messages have come out (see
//! `lost_messages.rs`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headway_domain::Micros;
use tokio::time::Instant;
use uuid::Uuid;

/// The pause before the next fence of a pipe doubles while none comes back, up to this value.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// Fences of a pipe that may be under way.
const MAX_UNDER_WAY: usize = 16;
/// Proofs of a pipe that are kept: some for each time that workers have to report.
const MAX_PROOFS: usize = 32;

/// What proves that messages have come out of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    /// All that was sent before this time has come out,
    pub before: Micros,
    /// by this time.
    pub at: Micros,
}

#[derive(Debug, Default)]
struct PipeState {
    /// Proofs, the newest last.
    passed: VecDeque<Passed>,
    /// Fences under way, and the time that each stands for.
    under_way: VecDeque<(Uuid, Micros)>,
    /// When another fence may follow.
    next: Option<Instant>,
    pause: Duration,
}

/// The pipes that this process watches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fences(Arc<Mutex<BTreeMap<String, PipeState>>>);

impl Fences {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, PipeState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all other pipes.
    pub(crate) fn retain(&self, pipes: &BTreeSet<String>) {
        self.lock().retain(|pipe, _| pipes.contains(pipe));
    }

    /// Notes that messages have come out of a pipe.
    pub(crate) fn note(&self, pipe: &str, passed: Passed) {
        let mut pipes = self.lock();
        pipes.entry(pipe.to_owned()).or_default().note(passed);
    }

    /// What had come out of a pipe by then.
    pub(crate) fn passed_by(&self, pipe: &str, at: Micros) -> Option<Passed> {
        let pipes = self.lock();
        let passed = &pipes.get(pipe)?.passed;
        passed.iter().rev().find(|passed| passed.at <= at).copied()
    }

    /// Whether there is a proof, however new, for messages that were sent before `time`.
    pub(crate) fn cover(&self, pipe: &str, time: Micros) -> bool {
        let pipes = self.lock();
        let newest = pipes.get(pipe).and_then(|state| state.passed.back());
        newest.is_some_and(|newest| newest.before >= time)
    }

    /// A fence to send to a pipe now, which stands for what was sent before `before`; `None` while
    /// one is under way that may still come back. The first pause is `pause`.
    pub(crate) fn begin(&self, pipe: &str, before: Micros, pause: Duration) -> Option<Uuid> {
        let mut pipes = self.lock();
        let state = pipes.entry(pipe.to_owned()).or_default();
        if state.next.is_some_and(|next| Instant::now() < next) {
            return None;
        }
        state.pause = (state.pause * 2).clamp(pause, LONGEST_PAUSE.max(pause));
        state.next = Some(Instant::now() + state.pause);
        if state.under_way.len() == MAX_UNDER_WAY {
            state.under_way.pop_front();
        }
        let id = Uuid::new_v4();
        state.under_way.push_back((id, before));
        Some(id)
    }

    /// Takes fences that workers reported; those of others are left alone.
    pub(crate) fn returned(&self, fences: &[Uuid], at: Micros) {
        if fences.is_empty() {
            return;
        }
        for state in self.lock().values_mut() {
            let newest = state
                .under_way
                .iter()
                .rposition(|(id, _)| fences.contains(id));
            let Some(newest) = newest else { continue };
            let before = state.under_way.drain(..=newest).map(|(_, before)| before);
            let before = before.max();
            state.next = None;
            state.pause = Duration::ZERO;
            if let Some(before) = before {
                state.note(Passed { before, at });
            }
        }
    }
}

impl PipeState {
    fn note(&mut self, passed: Passed) {
        let newest = self.passed.back();
        if newest.is_none_or(|newest| newest.before < passed.before) {
            if self.passed.len() == MAX_PROOFS {
                // The oldest but one: a shard that is far behind still finds the oldest.
                self.passed.remove(1);
            }
            self.passed.push_back(passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn passed(before: Micros, at: Micros) -> Passed {
        Passed { before, at }
    }

    #[test]
    fn the_newest_proof_that_is_old_enough_counts() {
        let fences = Fences::default();
        assert_eq!(fences.passed_by("p", 100), None);
        fences.note("p", passed(10, 12));
        fences.note("p", passed(20, 22));
        fences.note("p", passed(15, 23));
        fences.note("p", passed(30, 32));
        assert_eq!(fences.passed_by("p", 11), None);
        assert_eq!(fences.passed_by("p", 25), Some(passed(20, 22)));
        assert!(fences.cover("p", 30) && !fences.cover("p", 31));
        assert_eq!(fences.passed_by("p", 40), Some(passed(30, 32)));
        for time in 40..200 {
            fences.note("p", passed(time, time));
        }
        assert_eq!(fences.lock()["p"].passed.len(), MAX_PROOFS);
        assert_eq!(fences.passed_by("p", 35), Some(passed(10, 12)));
        assert_eq!(fences.passed_by("p", 190), Some(passed(190, 190)));
        fences.retain(&BTreeSet::new());
        assert_eq!(fences.passed_by("p", 40), None);
    }

    #[tokio::test(start_paused = true)]
    async fn fences_follow_each_other_ever_more_slowly_until_one_returns() {
        let fences = Fences::default();
        let first = fences.begin("p", 10, PAUSE).unwrap();
        assert_eq!(fences.begin("p", 11, PAUSE), None);
        tokio::time::advance(PAUSE).await;
        assert!(fences.begin("p", 20, PAUSE).is_some());
        tokio::time::advance(PAUSE).await;
        assert_eq!(fences.begin("p", 21, PAUSE), None);
        // The first one proves nothing of what was sent after it.
        fences.returned(&[Uuid::new_v4(), first], 25);
        assert_eq!(fences.passed_by("p", 25), Some(passed(10, 25)));
        assert!(fences.begin("p", 30, PAUSE).is_some());
    }

    #[test]
    fn fences_under_way_are_bounded_and_older_ones_are_void_with_a_newer_one() {
        let fences = Fences::default();
        let sent: Vec<_> = (0..)
            .take(MAX_UNDER_WAY + 2)
            .map(|time| fences.begin("p", time, Duration::ZERO).unwrap())
            .collect();
        assert_eq!(fences.lock()["p"].under_way.len(), MAX_UNDER_WAY);
        fences.returned(&sent[..2], 100);
        assert_eq!(fences.passed_by("p", 100), None, "they are forgotten");
        fences.returned(&sent[4..5], 100);
        assert_eq!(fences.passed_by("p", 100), Some(passed(4, 100)));
        // The two that were sent before it came out with it.
        assert_eq!(fences.lock()["p"].under_way.len(), MAX_UNDER_WAY - 3);
    }
}
