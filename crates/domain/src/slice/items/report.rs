//! Reports of workers, and the fencing that decides whether they still count.

use uuid::Uuid;

use crate::{
    batches::{
        item::{Forward, Lease},
        page::PageState,
    },
    jobs::progress::MILLIONTHS,
    reports::{
        failure::{Failed, Subject},
        report::{Applied, ItemEvent, ItemReport, PageReport},
    },
    slice::job_slice::JobSlice,
    values::counter::Counter,
};

impl JobSlice {
    /// Applies the reports about one page. Reports that do not match the item's present run,
    /// attempt and stage change nothing. The page and its reported item rows must be in the slice.
    pub fn apply(&mut self, report: &PageReport) -> Applied {
        let mut applied = Applied::default();
        let Some(page) = self.page(report.page) else {
            applied.stale = (report.done.len() + report.items.len()) as u64;
            return applied;
        };
        // A page of an older run is opened again, and the counters of the new run include that
        // already.
        let current = page.run == report.run && page.run == self.job.run;
        if !current || page.state != PageState::Open {
            applied.stale = (report.done.len() + report.items.len()) as u64;
            return applied;
        }
        for index in &report.done {
            let hit = self.fence(report.page, *index, 0, 0) && self.done(report.page, *index);
            count(&mut applied, hit, true);
        }
        for item in &report.items {
            if !self.fence(report.page, item.index, item.attempt, item.stage) {
                count(&mut applied, false, false);
                continue;
            }
            let drains = matches!(
                item.event,
                ItemEvent::Done
                    | ItemEvent::Failed(_)
                    | ItemEvent::Discarded
                    | ItemEvent::Forward(_)
            );
            let hit = self.item_event(report, item);
            count(&mut applied, hit, drains);
        }
        if applied.applied > 0 {
            let now = self.moment.now;
            if let Some(page) = self.page_mut(report.page) {
                page.touched = now;
            }
        }
        applied
    }

    /// Whether a report about the item still counts.
    fn fence(&self, page: u32, index: u32, attempt: u32, stage: u32) -> bool {
        let Some(page_row) = self.page(page) else {
            return false;
        };
        // A delayed or parked item has no attempt under way: this report is of an older one.
        if !page_row.is_out(index) {
            return false;
        }
        match self.item(page, index) {
            Some(item) => item.due.is_none() && item.attempt == attempt && item.stage == stage,
            None => page_row.attempt == attempt && stage == 0,
        }
    }

    fn item_event(&mut self, report: &PageReport, item: &ItemReport) -> bool {
        let (page, index) = (report.page, item.index);
        match &item.event {
            ItemEvent::Done => self.done(page, index),
            ItemEvent::Failed(failure) => {
                self.failed(page, index, failure.clone().cleaned(), &report.worker)
            }
            ItemEvent::Discarded => self.discarded(page, index, report.session),
            ItemEvent::Parked => self.handed_back(page, index, report.session),
            ItemEvent::Started => self.started(page, index),
            ItemEvent::Leased => self.leased(page, index, report.session),
            ItemEvent::Fraction(millionths) => self.fraction(page, index, *millionths),
            ItemEvent::Forward(forward) => self.forward(page, index, forward.clone()),
            ItemEvent::Suspect => self.suspect(page, index, &report.worker),
        }
    }

    fn done(&mut self, page: u32, index: u32) -> bool {
        let flipped = self
            .page_mut(page)
            .is_some_and(|page| page.done.insert(index));
        if flipped {
            self.job.counts.done += 1;
            self.drop_item(page, index);
        }
        flipped
    }

    pub(crate) fn failed(&mut self, page: u32, index: u32, failure: Failed, worker: &str) -> bool {
        let failures = self.item(page, index).map_or(0, |item| item.failures) + 1;
        let retry = self.job.meta.spec.retry_policy;
        if failure.retryable && failures < retry.max_attempts && !self.job.phase.is_final() {
            let random = self.jitter(page, index, failures);
            let due = self.moment.now + retry.delay_us(failures, random);
            let Some(item) = self.item_mut(page, index) else {
                return false;
            };
            // The process is alive, so the start has an outcome.
            item.void_attempt();
            item.failures = failures;
            item.due = Some(due);
            self.job.counts.delayed += 1;
            return true;
        }
        let flipped = self
            .page_mut(page)
            .is_some_and(|page| page.failed.insert(index));
        if flipped {
            self.job.counts.failed += 1;
            self.drop_item(page, index);
            self.record_failure(Subject::Item(page, index), failure, failures, worker);
        }
        flipped
    }

    /// A number in `0.0..1.0` that differs between items and attempts: enough to spread retries.
    fn jitter(&self, page: u32, index: u32, failures: u32) -> f64 {
        let (high, low) = self.job.meta.uid.0.as_u64_pair();
        let mut x = high
            ^ low.rotate_left(17)
            ^ (u64::from(page) << 32 | u64::from(index))
            ^ (u64::from(failures) << 56);
        // SplitMix64, Steele et al. 2014.
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn discarded(&mut self, page: u32, index: u32, session: Uuid) -> bool {
        if self.drops_items() {
            return self.discard(page, index);
        }
        // The worker knew an older status, or reported wrongly: the item is sent again.
        self.handed_back(page, index, session)
    }

    /// A worker hands an item back. Depending on the job's state it is sent again, parked or
    /// discarded.
    fn handed_back(&mut self, page: u32, index: u32, session: Uuid) -> bool {
        let item = self.item(page, index);
        let lease = item.and_then(|item| item.lease);
        if lease.is_some_and(|lease| lease.session != session) && !self.drops_items() {
            // A copy of its message: the item itself runs elsewhere, under a lease.
            return false;
        }
        if item.is_some_and(|item| item.lease.is_some() || item.started)
            && let Some(item) = self.item_mut(page, index)
        {
            item.void_attempt();
        }
        self.resend(page, index);
        true
    }

    fn started(&mut self, page: u32, index: u32) -> bool {
        if self.item(page, index).is_some_and(|item| item.started) {
            return false;
        }
        let Some(item) = self.item_mut(page, index) else {
            return false;
        };
        item.started = true;
        item.starts += 1;
        true
    }

    /// The broker redelivered the message of an item: the process that had it died, or lost its
    /// connection.
    fn suspect(&mut self, page: u32, index: u32, worker: &str) -> bool {
        let Some(item) = self.item_mut(page, index) else {
            return false;
        };
        // A first start is not announced, so the item may have been running. With a lease it was.
        if item.starts == 0 || item.lease.is_some() && !item.started {
            item.starts += 1;
        }
        self.process_died(page, index, worker)
    }

    fn leased(&mut self, page: u32, index: u32, session: Uuid) -> bool {
        let until = self.moment.now + self.moment.lease;
        let Some(item) = self.item_mut(page, index) else {
            return false;
        };
        item.lease = Some(Lease { session, until });
        true
    }

    fn fraction(&mut self, page: u32, index: u32, millionths: u32) -> bool {
        let millionths = millionths.min(MILLIONTHS);
        // A smaller fraction belongs to an earlier message.
        if millionths <= self.item(page, index).map_or(0, |item| item.fraction) {
            return false;
        }
        let Some(item) = self.item_mut(page, index) else {
            return false;
        };
        let gained = u64::from(millionths - item.fraction);
        item.fraction = millionths;
        self.job.counts.fractions += gained;
        true
    }

    fn forward(&mut self, page: u32, index: u32, forward: Forward) -> bool {
        let Some(item) = self.item_mut(page, index) else {
            return false;
        };
        item.stage += 1;
        item.failures = 0;
        item.starts = 0;
        item.started = false;
        item.alone = false;
        item.lease = None;
        let fraction = u64::from(std::mem::take(&mut item.fraction));
        item.forward = Some(forward);
        self.miscounted |= !self.job.counts.fractions.subtract(fraction);
        self.resend(page, index);
        true
    }
}

fn count(applied: &mut Applied, hit: bool, drains: bool) {
    if hit {
        applied.applied += 1;
        applied.drained += u64::from(drains);
    } else {
        applied.stale += 1;
    }
}
