//! What follows every schedule: the world behaves, and the job must end with exact counts.

use std::collections::{BTreeSet, VecDeque};

use headway_domain::{batches::PageState, jobs::Phase};

use super::{
    message::{End, Message},
    source::{LeafId, Trouble},
    store::Store,
    world::{WORKERS, World},
};

impl World {
    /// Delivers everything in order, lets time pass, resumes and repairs, until the job has
    /// ended and nothing of it runs. Answers may come a second time, a while later.
    pub(crate) fn behave(&mut self) {
        let mut echoes = VecDeque::new();
        for round in 0..20_000 {
            self.sweep();
            if echoes.front().is_some_and(|(due, _)| *due <= round) {
                self.pipes
                    .extend(echoes.pop_front().map(|(_, message)| message));
                self.deliver(self.pipes.len() - 1, round % WORKERS, End::Sent, 1);
                continue;
            }
            let answer =
                |message: &&Message| matches!(message, Message::Report(_) | Message::Found { .. });
            if let Some(answer) = self.pipes.first().filter(answer)
                && self.echo > 0
            {
                echoes.push_back((round + self.echo, answer.clone()));
            }
            if !self.pipes.is_empty() {
                self.deliver(0, round % WORKERS, End::Sent, 1);
            } else if self.job().settled.is_some() {
                return;
            } else if self.job().paused {
                self.resume(End::Sent).unwrap();
            } else if self.job().wants_credit() && self.is_starved() {
                self.allow(self.job().meta.spec.max_in_flight, Some(2));
            } else if self.job().wants_credit() && self.job().is_reopening() {
                self.advance();
            } else if let Some(due) = self.next_timer() {
                let wait = (due - self.now).max(0);
                self.tick(wait, End::Sent);
            } else if !self.sweep_epochs(End::Sent) {
                // What the broker lost as a whole is back by now.
                assert!(self.lossy, "stuck, though no message was lost");
                self.repair(self.now + 1, End::Sent);
            }
        }
        panic!("the job does not end: {:?}", self.job());
    }

    /// Lets the job end, checks its counts, and retries it until it is completed.
    pub(crate) fn complete(&mut self) {
        for _ in 0..8 {
            self.behave();
            self.check_end();
            self.check_quiet();
            if self.job().phase == Phase::Completed {
                return;
            }
            self.retry(End::Sent).unwrap();
        }
        panic!("retries do not complete the job: {:?}", self.job());
    }

    /// The leaves that failed in the present run.
    pub(crate) fn failed(&self) -> BTreeSet<LeafId> {
        let run = self.job().run;
        let pages = self.store.pages.values().filter(|page| page.run == run);
        let failed = pages.flat_map(|page| page.failed.iter().map(|index| (page.number, index)));
        // Also what is carried of pages that were not opened again.
        let old = self.store.pages.values().filter(|page| page.run < run);
        let carried = old.flat_map(|page| {
            let carried = self.store.carried(page.number, run).items.into_iter();
            carried.map(|index| (page.number, index))
        });
        failed.chain(carried).map(|key| self.leaves[&key]).collect()
    }

    /// Whether a leaf may have failed although its plan was good: a splitter denied it, or three
    /// workers seemed to die of it.
    fn unlucky(&self, leaf: LeafId) -> bool {
        self.accused.contains(&leaf) || self.doubts.get(&leaf).is_some_and(|times| *times >= 3)
    }

    /// The counts of a job that ended by itself are those of its source, whatever happened.
    pub(crate) fn check_end(&self) {
        let (job, counts) = (self.job(), &self.job().counts);
        let (policy, retry) = (job.meta.spec.failure_policy, job.meta.spec.retry_policy);
        let (reach, faulty) = self.source.reach(job.run);
        let failed = self.failed();
        let planned: BTreeSet<LeafId> = reach
            .iter()
            .copied()
            .filter(|leaf| {
                self.source
                    .plan(*leaf)
                    .fails_for_good(job.run, retry.max_attempts)
            })
            .collect();
        let exceeded = policy.exceeded(counts.failed, counts.known);
        let dropped = job.phase == Phase::Cancelled || policy.stop && exceeded;
        for leaf in failed.difference(&planned) {
            // Once a job has ended nothing is tried again.
            let flaky = matches!(self.source.plan(*leaf).trouble(job.run), Trouble::Flaky(_));
            assert!(
                dropped && flaky || self.unlucky(*leaf),
                "leaf {leaf} failed without a reason"
            );
        }
        assert_eq!(counts.failed, failed.len() as u64);
        assert!(self.done.is_disjoint(&planned) && self.done.is_disjoint(&failed));
        if dropped {
            return;
        }
        assert_eq!(
            (counts.discarded, counts.live_pages()),
            (0, 0),
            "ended too early"
        );
        assert!(
            planned.is_subset(&failed),
            "a leaf that cannot end well did not fail"
        );
        let ended: BTreeSet<LeafId> = self.done.union(&failed).copied().collect();
        assert_eq!(ended, reach, "not every leaf has one outcome");
        assert_eq!(counts.known, reach.len() as u64);
        assert_eq!(counts.split_failed > 0, faulty);
        let phase = if faulty || exceeded {
            Phase::Failed
        } else {
            Phase::Completed
        };
        assert_eq!(job.phase, phase);
        assert_eq!(
            counts.standing_failures(),
            counts.failed + counts.split_failed
        );
        if counts.failed == 0 && !faulty {
            self.check_folded();
        }
    }

    /// Nothing is left of a job without failures but its root, its sums, and the batches that are
    /// kept to be looked at.
    fn check_folded(&self) {
        assert!(self.store.pages.is_empty() && self.store.items.is_empty());
        let below = || self.store.batches.values().filter(|batch| batch.number > 1);
        assert!(below().all(|batch| batch.finished));
        let first = below().filter(|batch| batch.depth == 1);
        let first: u64 = first.map(|batch| batch.done).sum();
        assert!(first <= self.store.batches[&1].done);
        assert_eq!(self.store.batches[&1].done, self.source.len() as u64);
    }

    /// Whatever comes after the end, of whatever run, changes nothing any more.
    pub(crate) fn check_quiet(&mut self) {
        // Timers that are left set their items aside, and repair marks the pages of an old epoch.
        let (failed, out) = (self.failed(), self.job().counts.out());
        self.now += 1_000_000_000;
        self.tick(0, End::Sent);
        self.repair(0, End::Sent);
        assert_eq!((self.failed(), self.job().counts.out()), (failed, out));
        let settled = self.store.clone();
        self.pipes = std::mem::take(&mut self.history);
        for round in 0.. {
            self.sweep();
            if self.pipes.is_empty() {
                break;
            }
            self.deliver(0, round % WORKERS, End::Sent, 1);
        }
        self.tick(0, End::Sent);
        assert_eq!(
            self.store.job, settled.job,
            "a message changed a settled job"
        );
        self.repair(0, End::Sent);
        self.store
            .pages
            .values()
            .for_each(|page| assert_ne!(page.state, PageState::Splitting));
        self.check_unchanged(&settled);
        self.history
            .retain(|message| !matches!(message, Message::Control { .. }));
    }

    fn check_unchanged(&self, settled: &Store) {
        assert_eq!(
            self.job().counts,
            settled.job.counts,
            "a settled job counts on"
        );
        assert_eq!(
            self.job().revision,
            settled.job.revision,
            "a settled job changes"
        );
        assert!(self.store == *settled, "a settled job changes");
    }
}
