//! Applying reports whatever happens: waiting while the database cannot store anything, and finding
//! the one report whose data it refuses, which then ends its item as BAD_REPORT. A report that
//! cannot be applied for any other reason is set aside; its message becomes a dead letter and is
//! tried again later.

use std::time::Duration;

use headway_domain::{
    JobUid, Micros,
    reports::{Failed, ItemEvent, ItemReport, PageReport, code},
};
use headway_retry::Backoff;
use headway_store::{Committed, StoreError};

use crate::tracker::Tracker;

/// What came of a batch of reports.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub committed: Committed,
    /// Reports of jobs that another transaction holds.
    pub left: Vec<PageReport>,
    /// The job and page of each report that cannot be applied. Their messages must not be
    /// acknowledged.
    pub aside: Vec<(JobUid, u32)>,
    pub next_due: Option<Micros>,
}

impl Tracker {
    /// Applies reports, `in_turn` or all but those of jobs that another transaction holds; `None`
    /// when the process stops before the database answers.
    pub(crate) async fn apply_insisting(
        &self,
        reports: Vec<PageReport>,
        in_turn: bool,
    ) -> Option<Applied> {
        let store = self.relay.store();
        let mut all = Applied::default();
        let mut stack = vec![reports];
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        while let Some(batch) = stack.pop() {
            if batch.is_empty() {
                continue;
            }
            let tracked = match in_turn {
                true => store.apply_reports_in_turn(&batch).await,
                false => store.apply_reports(&batch).await,
            };
            match tracked {
                Ok(tracked) => {
                    self.rates.count(&tracked.drained);
                    if tracked.applied.stale > 0 {
                        tracing::debug!(
                            stale = tracked.applied.stale,
                            "dropped stale or repeated reports"
                        );
                    }
                    all.committed.merge(tracked.committed);
                    all.next_due = [all.next_due, tracked.next_due].into_iter().flatten().min();
                    let left = tracked
                        .left
                        .into_iter()
                        .filter_map(|at| batch.get(at).cloned());
                    all.left.extend(left);
                }
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, reports = batch.len(), "cannot apply reports; trying again");
                    stack.push(batch);
                    if !backoff.pause(&self.shutdown).await {
                        return None;
                    }
                }
                Err(error) => match narrow(batch, &error) {
                    Narrowed::Smaller(batches) => stack.extend(batches),
                    Narrowed::Aside(report) => {
                        tracing::error!(%error, job = %report.job, page = report.page, "cannot apply a report; its message becomes a dead letter and is tried again later");
                        all.aside.push((report.job, report.page));
                    }
                },
            }
        }
        Some(all)
    }
}

/// What becomes of a batch that cannot be applied as a whole.
enum Narrowed {
    /// To be tried in these parts.
    Smaller(Vec<Vec<PageReport>>),
    /// Alone it cannot be applied either.
    Aside(PageReport),
}

/// Halves a refused batch. A report that is refused alone becomes its item's failure if its data is
/// at fault.
fn narrow(mut batch: Vec<PageReport>, error: &StoreError) -> Narrowed {
    if batch.len() > 1 {
        let half = batch.split_off(batch.len() / 2);
        return Narrowed::Smaller(vec![half, batch]);
    }
    let Some(report) = batch.pop() else {
        return Narrowed::Smaller(Vec::new());
    };
    match report.items.len() + usize::from(!report.done.is_empty()) {
        0 => Narrowed::Smaller(Vec::new()),
        1 if error.is_of_data() && !report.items.is_empty() => fail_item(report, error),
        // The rows of the job are at fault, not what the report says.
        1 => Narrowed::Aside(report),
        _ => {
            let mut first = report;
            let mut second = PageReport {
                done: Vec::new(),
                items: Vec::new(),
                ..first.clone()
            };
            second.items = first.items.split_off(first.items.len() / 2);
            if first.items.is_empty() && first.done.is_empty() || second.items.is_empty() {
                second.done = std::mem::take(&mut first.done);
            }
            Narrowed::Smaller(vec![vec![second], vec![first]])
        }
    }
}

/// Replaces what a report says of its one item with a failure that the database can store.
fn fail_item(mut report: PageReport, error: &StoreError) -> Narrowed {
    let bad = |item: &ItemReport| matches!(&item.event, ItemEvent::Failed(failed) if failed.code == code::BAD_REPORT);
    if report.items.iter().any(bad) {
        return Narrowed::Aside(report);
    }
    tracing::warn!(%error, job = %report.job, page = report.page, "the database refuses a report; its item fails with BAD_REPORT");
    for item in &mut report.items {
        let why = "the database refused what the worker reported about this item";
        item.event = ItemEvent::Failed(Failed::lasting(code::BAD_REPORT, why));
    }
    report.worker.clear();
    Narrowed::Smaller(vec![vec![report]])
}

#[cfg(test)]
mod tests {
    use headway_domain::JobUid;
    use uuid::Uuid;

    use super::*;

    fn report(done: usize, items: usize) -> PageReport {
        PageReport {
            job: JobUid(Uuid::nil()),
            page: 1,
            run: 0,
            done: (0..done as u32).collect(),
            items: (0..items as u32)
                .map(|index| ItemReport {
                    index,
                    attempt: 0,
                    stage: 0,
                    event: ItemEvent::Done,
                })
                .collect(),
            session: Uuid::nil(),
            worker: String::new(),
        }
    }

    /// Narrows until nothing is left, as a database would that refuses everything with this error:
    /// the items that fail, the reports set aside, and the rounds.
    fn exhaust(batch: Vec<PageReport>, error: StoreError) -> (usize, usize) {
        let (mut stack, mut failed, mut aside, mut rounds) = (vec![batch], 0, 0, 0);
        while let Some(batch) = stack.pop() {
            rounds += 1;
            assert!(rounds < 10_000, "narrowing does not end");
            let bad = batch.iter().flat_map(|report| &report.items);
            failed += bad
                .filter(|item| matches!(item.event, ItemEvent::Failed(_)))
                .count();
            match narrow(batch, &error) {
                Narrowed::Smaller(batches) => stack.extend(batches),
                Narrowed::Aside(_) => aside += 1,
            }
        }
        (failed, aside)
    }

    #[test]
    fn every_item_of_refused_data_fails_alone_and_narrowing_ends() {
        let refused = || StoreError::Refused("no".into());
        assert_eq!(exhaust(vec![report(0, 1)], refused()), (1, 1));
        let many = vec![report(3, 5), report(0, 9), report(4, 0)];
        // Two of them also have bits, which are set aside by themselves.
        assert_eq!(exhaust(many, refused()), (14, 16));
        assert_eq!(exhaust(vec![report(1, 1)], refused()), (1, 2));
    }

    #[test]
    fn no_item_fails_because_of_the_rows_of_its_job() {
        for error in [
            StoreError::Broken("a row".into()),
            StoreError::Duplicate("a key".into()),
            StoreError::Domain(headway_domain::Error::PageToken),
        ] {
            assert_eq!(exhaust(vec![report(3, 5), report(0, 2)], error), (0, 8));
        }
    }
}
