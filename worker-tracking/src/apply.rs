//! Applying reports whatever happens: waiting while the database is away, and finding the one report that
//! it refuses, which then ends its item as BAD_REPORT.

use std::time::Duration;

use headway_domain::{
    Micros,
    effect::{Failed, code},
    report::{ItemEvent, ItemReport, PageReport},
};
use headway_runtime::backoff::Backoff;
use headway_store::{Committed, StoreError};

use crate::tracker::Tracker;

/// What came of a batch of reports.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub committed: Committed,
    /// Reports of jobs that another transaction holds.
    pub left: Vec<PageReport>,
    pub next_due: Option<Micros>,
}

impl Tracker {
    /// Applies reports, `in_turn` or all but those of jobs that another transaction holds; `None` when the process stops
    /// before the database answers.
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
                            "reports came too late or twice"
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
                    tracing::warn!(%error, "waiting for the database");
                    stack.push(batch);
                    if !self.pause(backoff.next()).await {
                        return None;
                    }
                }
                Err(error) => stack.extend(narrow(batch, &error)),
            }
        }
        Some(all)
    }
}

/// Halves a refused batch; a report that is refused alone becomes its item's failure.
fn narrow(mut batch: Vec<PageReport>, error: &StoreError) -> Vec<Vec<PageReport>> {
    if batch.len() > 1 {
        let half = batch.split_off(batch.len() / 2);
        return vec![half, batch];
    }
    let Some(report) = batch.pop() else {
        return Vec::new();
    };
    match report.items.len() + usize::from(!report.done.is_empty()) {
        0 => Vec::new(),
        1 if report.items.is_empty() => {
            // Bits alone cannot be refused: the job's rows are at fault. Repair looks at them later.
            tracing::error!(%error, job = %report.job, page = report.page, "dropping a report");
            Vec::new()
        }
        1 => accuse(report, error),
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
            vec![vec![second], vec![first]]
        }
    }
}

fn accuse(mut report: PageReport, error: &StoreError) -> Vec<Vec<PageReport>> {
    let bad = |item: &ItemReport| matches!(&item.event, ItemEvent::Failed(failed) if failed.code == code::BAD_REPORT);
    if report.items.iter().any(bad) {
        tracing::error!(%error, job = %report.job, page = report.page, "dropping a report");
        return Vec::new();
    }
    tracing::warn!(%error, job = %report.job, page = report.page, "a report is refused; its item fails");
    for item in &mut report.items {
        let why = "the database refused what the worker reported about this item";
        item.event = ItemEvent::Failed(Failed::lasting(code::BAD_REPORT, why));
    }
    report.worker.clear();
    vec![vec![report]]
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

    /// Narrows until nothing is left, as a database would that refuses everything.
    fn exhaust(batch: Vec<PageReport>) -> (usize, usize) {
        let error = StoreError::Refused("no".into());
        let (mut stack, mut accused, mut rounds) = (vec![batch], 0, 0);
        while let Some(batch) = stack.pop() {
            rounds += 1;
            assert!(rounds < 10_000, "narrowing does not end");
            let bad = batch.iter().flat_map(|report| &report.items);
            accused += bad
                .filter(|item| matches!(item.event, ItemEvent::Failed(_)))
                .count();
            stack.extend(narrow(batch, &error));
        }
        (accused, rounds)
    }

    #[test]
    fn every_item_is_accused_alone_and_narrowing_ends() {
        assert_eq!(exhaust(vec![report(0, 1)]).0, 1);
        assert_eq!(
            exhaust(vec![report(3, 5), report(0, 9), report(4, 0)]).0,
            14
        );
        assert_eq!(exhaust(vec![report(1, 1)]).0, 1);
    }
}
