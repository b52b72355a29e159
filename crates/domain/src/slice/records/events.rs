//! Events about the job.

use crate::{
    events::event::{EventKind, NewEvent},
    jobs::state::Phase,
    reports::failure::code,
    slice::job_slice::JobSlice,
    values::{limits, text::clean},
};

/// As long as a run has at most this many failures, each commit with failures has an event. After
/// that there is an event whenever their number has doubled, so that the log does not grow with the
/// job.
const MAX_SINGLE_FAILURES: u64 = 100;
/// Batches of a job, by number, that have an event each. A job with more batches has one more
/// event, for all of them together.
const MAX_SINGLE_BATCHES: u32 = 16;

impl JobSlice {
    /// Records an event about the job as it is now.
    pub(crate) fn record(&mut self, kind: EventKind, items: u64, message: &str) {
        self.events.push(NewEvent {
            kind,
            state: self.job.state(),
            message: clean(message, limits::MAX_HEADER_BYTES),
            batch: None,
            items,
        });
    }

    /// Records that all children of a batch are known: for the first batches, and for all together.
    pub(crate) fn record_split_batch(&mut self, number: u32) {
        if number <= MAX_SINGLE_BATCHES {
            let items = self.batch(number).map_or(0, |batch| batch.items);
            self.push_split(Some(number), items, "");
        }
        let batches = self.job.next_batch - 1;
        let counts = &self.job.counts;
        if batches > MAX_SINGLE_BATCHES && counts.unsplit + counts.splitting == 0 {
            let known = counts.known;
            self.push_split(None, known, &format!("all {batches} batches are split"));
        }
    }

    fn push_split(&mut self, batch: Option<u32>, items: u64, message: &str) {
        self.events.push(NewEvent {
            kind: EventKind::BatchSplit,
            state: self.job.state(),
            message: message.to_owned(),
            batch,
            items,
        });
    }

    /// Records the failures of this transaction, once.
    pub(crate) fn record_failures(&mut self) {
        let known = self.events.iter();
        let known = known.filter(|event| event.kind == EventKind::FailureRecorded);
        let Some(first) = self.failures.first().filter(|_| known.count() == 0) else {
            return;
        };
        let now = self.failures.len() as u64;
        let all = self.job.counts.failures;
        let before = all.saturating_sub(now);
        let doublings = |failures: u64| (failures / MAX_SINGLE_FAILURES).checked_ilog2();
        if before >= MAX_SINGLE_FAILURES && doublings(before) == doublings(all) {
            return;
        }
        let message = format!("{}: {}", first.failure.code, first.failure.message);
        self.record(EventKind::FailureRecorded, now, &message);
    }

    /// Records how the job ended.
    pub(crate) fn record_end(&mut self, why: Option<&str>) {
        let counts = &self.job.counts;
        let (done, failed, unsplit) = (counts.done, counts.failed, counts.split_failed);
        let (kind, message) = match self.job.phase {
            Phase::Cancelled => (EventKind::Cancelled, String::new()),
            Phase::Completed => (EventKind::Completed, String::new()),
            Phase::Failed if why.is_some() => {
                (EventKind::Failed, why.unwrap_or_default().to_owned())
            }
            Phase::Failed if unsplit > 0 => {
                let text = format!(
                    "{failed} items failed, {unsplit} batches could not be split ({})",
                    code::SPLIT_FAILED
                );
                (EventKind::Failed, text)
            }
            Phase::Failed => (EventKind::Failed, format!("{failed} items failed")),
            Phase::Waiting | Phase::Active => return,
        };
        self.record(kind, done, &message);
    }

    /// Whether the job ended in this transaction.
    pub fn ended_now(&self) -> bool {
        self.events.iter().any(|event| {
            matches!(
                event.kind,
                EventKind::Completed | EventKind::Failed | EventKind::Cancelled
            )
        })
    }
}
