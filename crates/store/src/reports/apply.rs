//! Applying what workers report: many outcomes, few statements, one commit.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use headway_domain::{
    JobSlice, JobUid, Micros, PartitionId,
    jobs::JobMeta,
    reports::{Applied, ItemEvent, PageReport},
};
use uuid::Uuid;

use crate::{
    db::{Durability, Tx, keys},
    error::StoreError,
    ground::committed::Committed,
    slice::load::Locking,
    store::Store,
};

/// What became of a batch of reports.
#[derive(Debug, Clone, Default)]
pub struct AppliedReports {
    /// What is to be published now.
    pub committed: Committed,
    /// What was applied and what was stale, over all reports.
    pub applied: Applied,
    /// Positions of reports whose jobs another transaction holds: to be given again.
    pub left: Vec<usize>,
    /// Items that left each pipe, for its measured rate.
    pub drained: BTreeMap<String, u64>,
    /// When the next timer or lease that these reports began is over.
    pub next_due: Option<Micros>,
}

/// The pipes that items were forwarded to.
fn forwards<'a>(
    reports: &'a [PageReport],
    metas: &'a HashMap<JobUid, Arc<JobMeta>>,
) -> HashSet<(&'a PartitionId, &'a str)> {
    let mut uses = HashSet::new();
    for report in reports {
        let Some(meta) = metas.get(&report.job) else {
            continue;
        };
        for item in &report.items {
            if let ItemEvent::Forward(forward) = &item.event {
                uses.insert((&meta.name.partition, forward.pipe.as_str()));
            }
        }
    }
    uses
}

impl Store {
    /// Applies reports in one transaction. Reports of unknown jobs are dropped. Where two reports
    /// speak of one item the first wins. Jobs that another transaction holds are left out.
    pub async fn apply_reports(
        &self,
        reports: &[PageReport],
    ) -> Result<AppliedReports, StoreError> {
        self.apply_locking(reports, Locking::Skip).await
    }

    /// As [`Store::apply_reports`], but waits for its turn with jobs that another transaction
    /// holds: one that is split into many small pages is held nearly all the time, and who never
    /// waits never gets it.
    pub async fn apply_reports_in_turn(
        &self,
        reports: &[PageReport],
    ) -> Result<AppliedReports, StoreError> {
        self.apply_locking(reports, Locking::Wait).await
    }

    async fn apply_locking(
        &self,
        reports: &[PageReport],
        locking: Locking,
    ) -> Result<AppliedReports, StoreError> {
        let metas = self
            .metas(&reports.iter().map(|report| report.job).collect::<Vec<_>>())
            .await?;
        let mut tracked = AppliedReports::default();
        if metas.is_empty() {
            return Ok(tracked);
        }
        let changed = self.pipes().refuse_new_forwards(reports, &metas).await?;
        let reports = changed.as_deref().unwrap_or(reports);
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let list: Vec<_> = metas.values().cloned().collect();
        let mut slices = db.lock_jobs(&tx, &list, locking).await?;
        let at: HashMap<_, _> = slices
            .iter()
            .enumerate()
            .map(|(at, slice)| (slice.job().meta.uid, at))
            .collect();
        let wanted: Vec<i64> = list.iter().map(|meta| meta.key).collect();
        let locked = self.locked_elsewhere(&tx, &wanted, &slices).await?;

        let mut pages = HashSet::new();
        let mut items = Vec::new();
        for report in reports {
            let Some(slice) = at.get(&report.job).map(|at| &slices[*at]) else {
                continue;
            };
            let key = slice.job().meta.key;
            pages.insert((key, report.page));
            if slice.job().counts.item_rows > 0 {
                let reported = report
                    .done
                    .iter()
                    .copied()
                    .chain(report.items.iter().map(|item| item.index));
                items.extend(reported.map(|index| (key, report.page, index)));
            }
        }
        let pages: Vec<_> = pages.into_iter().collect();
        db.load_pages(&tx, &mut slices, &pages).await?;
        db.load_items(&tx, &mut slices, &items).await?;

        for (position, report) in reports.iter().enumerate() {
            let Some(slice) = at.get(&report.job).and_then(|at| slices.get_mut(*at)) else {
                if metas
                    .get(&report.job)
                    .is_some_and(|meta| locked.contains(&meta.key))
                {
                    tracked.left.push(position);
                }
                continue;
            };
            let applied = slice.apply(report);
            tracked.applied.applied += applied.applied;
            tracked.applied.stale += applied.stale;
            tracked.applied.drained += applied.drained;
            if applied.drained > 0 {
                let pipe = slice.job().meta.spec.pipe().as_str();
                *tracked.drained.entry(pipe.to_owned()).or_default() += applied.drained;
            }
        }
        for slice in slices.iter_mut().filter(|slice| slice.has_changed()) {
            db.advance(&tx, slice).await?;
        }
        tracked.next_due = slices.iter().filter_map(JobSlice::next_timer).min();
        let forwards = forwards(reports, &metas);
        tracked.committed = db.write_slices(&tx, slices).await?;
        tx.commit().await?;
        if let Err(error) = self.pipes().note(forwards).await {
            // The next forward there notes it.
            tracing::warn!(%error, "cannot record that a partition uses a pipe; the next forward records it");
        }
        Ok(tracked)
    }

    /// Which of these jobs exist but were skipped because another transaction holds them.
    async fn locked_elsewhere(
        &self,
        tx: &Tx<'_>,
        wanted: &[i64],
        got: &[JobSlice],
    ) -> Result<HashSet<i64>, StoreError> {
        let got: HashSet<i64> = got.iter().map(|slice| slice.job().meta.key).collect();
        let missing: Vec<i64> = wanted
            .iter()
            .copied()
            .filter(|key| !got.contains(key))
            .collect();
        if missing.is_empty() {
            return Ok(HashSet::new());
        }
        let sql = format!(
            "SELECT job_key AS value FROM job_progress WHERE {}",
            self.db.is_in("job_key", 1)
        );
        let rows = self.db.rows(&**tx, sql, [keys::ints(missing)]).await?;
        rows.iter()
            .map(|row| Ok(row.try_get::<i64>("", "value")?))
            .collect()
    }

    /// Renews every lease of a worker's session; how many there are.
    pub async fn renew_leases(&self, session: Uuid) -> Result<u64, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let renewed = db.move_leases(&tx, session, db.now() + db.lease).await?;
        tx.commit().await?;
        Ok(renewed)
    }
}
