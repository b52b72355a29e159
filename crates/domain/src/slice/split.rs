//! Results of batch workers: the children of a page, or the failure to split it.

use super::job_slice::JobSlice;
use crate::{
    batches::{
        batch::Batch,
        page::{Page, PageContent, PageState},
        split::{Child, Split, SplitOutcome},
    },
    reports::failure::{Failed, Subject, code},
    values::{counter::Counter, limits},
};

impl JobSlice {
    /// Records the children of a page, if it is still being split under this attempt. Sub-batches
    /// deeper than [`limits::MAX_BATCH_DEPTH`] fail the page. The page and its batch must be in the
    /// slice.
    pub fn record_split(&mut self, number: u32, attempt: u32, split: Split) -> SplitOutcome {
        let Some(page) = self
            .page(number)
            .filter(|page| page.state == PageState::Splitting && page.attempt == attempt)
        else {
            return SplitOutcome::Stale;
        };
        let (batch, first) = (
            page.batch,
            page.content
                .as_ref()
                .is_none_or(|content| content.cursor.is_none()),
        );
        let cursor = page
            .content
            .as_ref()
            .and_then(|content| content.cursor.clone());
        let is_batch = |child: &Child| matches!(child, Child::Batch { .. });
        if page.depth >= limits::MAX_BATCH_DEPTH && split.children.iter().any(is_batch) {
            let message = format!(
                "its sub-batches lie more than {} levels below the job",
                limits::MAX_BATCH_DEPTH
            );
            return self.record_split_failure(
                number,
                attempt,
                Failed::lasting(code::SPLIT_FAILED, message),
            );
        }
        if batch == 1
            && first
            && number == 1
            && let Some(total) = split.total
        {
            self.declare_root(total);
        }
        let Some(parent) = self.batch(batch).cloned() else {
            return SplitOutcome::Stale;
        };
        self.open_page(number, cursor, &split, &parent);
        self.add_children(&parent, split.children);
        self.continue_batch(&parent, split.next);
        SplitOutcome::Recorded
    }

    /// Takes over the size of the root batch, which its splitter told with the first page.
    fn declare_root(&mut self, total: u64) {
        if let Some(root) = self.batch_mut(1) {
            root.declared = true;
        }
        if let Some(page) = self.page_mut(1) {
            page.declared = true;
        }
        self.job.counts.declared = total;
        self.job.counts.undeclared_unsplit = 0;
    }

    fn open_page(&mut self, number: u32, cursor: Option<Vec<u8>>, split: &Split, parent: &Batch) {
        let (run, now) = (self.job.run, self.moment.now);
        let Some(page) = self.page_mut(number) else {
            return;
        };
        page.state = PageState::Open;
        page.count = u32::try_from(split.children.len())
            .unwrap_or(u32::MAX)
            .min(limits::MAX_CHILDREN_PER_PAGE);
        for (index, child) in (0u32..).zip(&split.children) {
            if matches!(child, Child::Batch { .. }) {
                page.sub.insert(index);
            }
        }
        page.run = run;
        page.touched = now;
        page.due = None;
        page.content = Some(PageContent {
            cursor,
            limit: split.limit,
            hash: split.hash,
            children: split.stored.clone(),
        });
        let items = u64::from(page.items());
        if let Some(batch) = self.batch_mut(parent.number) {
            batch.items += items;
        }
        let counts = &mut self.job.counts;
        self.miscounted |= !counts.splitting.subtract(1);
        counts.open += 1;
        counts.known += items;
        counts.unreleased += items;
        if !parent.declared {
            counts.undeclared += items;
            counts.undeclared_pages += 1;
            self.miscounted |= !counts.undeclared_unsplit.subtract(1);
        }
    }

    fn add_children(&mut self, parent: &Batch, children: Vec<Child>) {
        for child in children {
            let Child::Batch { definition, total } = child else {
                continue;
            };
            let number = self.job.next_batch;
            self.job.next_batch += 1;
            let batch = Batch {
                number,
                parent: Some(parent.number),
                depth: parent.depth + 1,
                definition: Some(definition),
                declared: parent.declared || total.is_some(),
                exhausted: false,
                open_pages: 0,
                retained_pages: 0,
                children: 0,
                done: 0,
                items: 0,
                finished: false,
            };
            if let Some(total) = total.filter(|_| !parent.declared) {
                let declared = self.job.counts.declared.checked_add(total);
                self.miscounted |= declared.is_none();
                self.job.counts.declared = declared.unwrap_or(self.job.counts.declared);
            }
            self.insert_batch(batch.clone());
            self.add_page_of(&batch, None);
            if let Some(parent) = self.batch_mut(parent.number) {
                parent.children += 1;
            }
        }
    }

    fn continue_batch(&mut self, parent: &Batch, next: Option<Vec<u8>>) {
        match next {
            Some(cursor) => self.add_page_of(parent, Some(cursor)),
            None => {
                if let Some(batch) = self.batch_mut(parent.number) {
                    batch.exhausted = true;
                }
                self.record_split_batch(parent.number);
            }
        }
    }

    fn add_page_of(&mut self, batch: &Batch, cursor: Option<Vec<u8>>) {
        let number = self.job.next_page;
        self.job.next_page += 1;
        let page = Page::unsplit(number, batch, self.job.run, self.moment.now, cursor);
        self.insert_page(page);
        self.job.counts.unsplit += 1;
        if !batch.declared {
            self.job.counts.undeclared_unsplit += 1;
        }
        if let Some(batch) = self.batch_mut(batch.number) {
            batch.open_pages += 1;
        }
    }

    /// Records that a page could not be split. A retryable failure is retried with the job's retry
    /// policy. The page must be in the slice.
    pub fn record_split_failure(
        &mut self,
        number: u32,
        attempt: u32,
        failure: Failed,
    ) -> SplitOutcome {
        let retry = self.job.meta.spec.retry_policy;
        let (now, run, running) = (self.moment.now, self.job.run, !self.job.phase.is_final());
        if !self.is_being_split(number, attempt) {
            return SplitOutcome::Stale;
        }
        let Some(page) = self.page_mut(number) else {
            return SplitOutcome::Stale;
        };
        page.attempt += 1;
        page.tries += 1;
        page.touched = now;
        let tries = page.tries;
        if failure.retryable && running && tries < retry.max_attempts {
            page.state = PageState::Unsplit;
            page.due = Some(now + retry.delay_us(tries, 0.0));
            self.miscounted |= !self.job.counts.splitting.subtract(1);
            self.job.counts.unsplit += 1;
            return SplitOutcome::Recorded;
        }
        page.state = PageState::SplitFailed;
        page.run = run;
        let (batch, declared) = (page.batch, page.declared);
        self.miscounted |= !self.job.counts.splitting.subtract(1);
        self.count_split_failure(batch, declared);
        self.record_failure(Subject::Page(number), failure.cleaned(), tries, "");
        SplitOutcome::Recorded
    }

    fn is_being_split(&self, number: u32, attempt: u32) -> bool {
        self.page(number)
            .is_some_and(|page| page.state == PageState::Splitting && page.attempt == attempt)
    }

    fn count_split_failure(&mut self, batch: u32, declared: bool) {
        self.job.counts.split_failed += 1;
        if !declared {
            self.miscounted |= !self.job.counts.undeclared_unsplit.subtract(1);
        }
        if let Some(batch) = self.batch_mut(batch) {
            let fits = batch.open_pages.subtract(1);
            batch.retained_pages += 1;
            self.miscounted |= !fits;
        }
    }

    /// Fails open items of a page whose splitter calls itself reproducible but answered differently
    /// the second time. The page must be in the slice.
    pub fn not_reproducible(&mut self, number: u32, indexes: &[u32]) {
        for index in indexes {
            let open = self.page(number).is_some_and(|page| {
                page.state == PageState::Open
                    && page.run == self.job.run
                    && page.is_released(*index)
            });
            if !open {
                continue;
            }
            if self
                .page(number)
                .is_some_and(|page| page.parked.contains(*index))
            {
                self.miscounted |= !self.job.counts.parked.subtract(1);
                if let Some(page) = self.page_mut(number) {
                    page.parked.remove(*index);
                }
            }
            let message =
                "the splitter calls itself reproducible but found other children the second time";
            self.failed(
                number,
                *index,
                Failed::lasting(code::NOT_REPRODUCIBLE, message),
                "",
            );
        }
    }

    /// Takes an unsplit page back from a batch worker, because the job is paused or has ended.
    pub fn withhold_split(&mut self, number: u32, attempt: u32) {
        if self.job.is_running() || !self.is_being_split(number, attempt) {
            return;
        }
        let Some(page) = self.page_mut(number) else {
            return;
        };
        // Another worker may still be splitting it under this attempt, even after the run.
        page.attempt += 1;
        page.state = PageState::Unsplit;
        self.miscounted |= !self.job.counts.splitting.subtract(1);
        self.job.counts.unsplit += 1;
    }

    /// Takes released items back from a batch worker that did not send them because the job is
    /// paused or has ended.
    pub fn withhold_items(&mut self, number: u32, indexes: &[u32]) {
        if self.job.is_running() {
            return;
        }
        for index in indexes {
            let out = self.page(number).is_some_and(|page| {
                page.state == PageState::Open && page.run == self.job.run && page.is_out(*index)
            }) && self
                .item(number, *index)
                .is_none_or(|item| item.rests_on_message());
            if out {
                self.resend(number, *index);
            }
        }
    }
}
