//! The jobs that wait for one that ended: they are settled, or wait again.

use std::{collections::BTreeSet, sync::Arc};

use headway_domain::{
    JobId, JobName, JobSlice,
    jobs::{JobMeta, Phase},
};

use crate::{
    db::{Db, Tx, bulk::Conflict},
    error::StoreError,
    ground::codes::Code,
    prerequisites::{
        cause::{FailureCause, PhaseRow, end_of},
        cycle_search::Needing,
        round::{MAX_SETTLED_PER_TX, ReleaseRound, WaitingRow},
        tasks::{RELEASE, TaskKind, TaskRow, task_cells},
        view::PrerequisiteState,
    },
};

impl Db {
    /// Settles some of those that wait for a job that ended or was deleted; where to go on, unless
    /// that was all.
    pub(crate) async fn settle_ended(
        &self,
        tx: &Tx<'_>,
        task: &TaskRow,
        round: &mut ReleaseRound,
    ) -> Result<Option<i64>, StoreError> {
        if ![TaskKind::Ended, TaskKind::Deleted]
            .map(TaskKind::code)
            .contains(&task.kind)
        {
            return Err(StoreError::Broken(format!(
                "kind {} of a release task is unknown",
                task.kind
            )));
        }
        let job = JobId::new(task.job_id.as_str())?;
        let broken = if task.kind == TaskKind::Deleted.code() {
            let tombstones = self
                .tombstones(tx, &task.partition_id, &[task.job_id.as_str()])
                .await?;
            let Some(tombstone) = tombstones.get(&task.job_id) else {
                return Ok(None);
            };
            // What waits for its name waits for the one that has it now, which may have been
            // created before those that wait.
            let sql = "SELECT count(*) AS value FROM job WHERE partition_id = $1 AND job_id = $2";
            let name = [task.partition_id.as_str().into(), job.as_str().into()];
            if self.one_int(&**tx, sql, name).await? != Some(0) {
                return Ok(None);
            }
            tombstone.broken()?
        } else {
            let sql = "SELECT job_key, phase, run FROM job_progress WHERE job_key = $1";
            let row: Option<PhaseRow> = self.one(&**tx, sql, [task.job_key.into()]).await?;
            // Deleted, or retried since: its next end counts.
            let Some(row) = row else { return Ok(None) };
            let causes = self.causes(tx, row.failed()).await?;
            match end_of(&row, &job, causes.get(&row.job_key))? {
                Some(broken) => broken,
                None => return Ok(None),
            }
        };
        let sql = format!(
            "SELECT job_key, number, policy FROM prerequisite WHERE partition_id = $1 AND needed = $2 AND state = {} \
             AND job_key > $3 ORDER BY job_key LIMIT $4",
            PrerequisiteState::Open.code()
        );
        let waiting: Vec<WaitingRow> = self.all(&**tx, sql, of_task(task)).await?;
        for one in &waiting {
            round.settle(one, broken.as_ref());
        }
        Ok(next_of(&waiting))
    }
}

fn of_task(task: &TaskRow) -> [sea_orm::Value; 4] {
    [
        task.partition_id.as_str().into(),
        task.job_id.as_str().into(),
        task.after_key.into(),
        (MAX_SETTLED_PER_TX as i64).into(),
    ]
}

fn next_of(found: &[WaitingRow]) -> Option<i64> {
    let last = found.last().filter(|_| found.len() == MAX_SETTLED_PER_TX);
    last.map(|last| last.job_key)
}

impl Db {
    /// Wakes some of the jobs that failed because of this one; where to go on, unless that was all.
    pub(crate) async fn wake_failed(
        &self,
        tx: &Tx<'_>,
        task: &TaskRow,
        round: &mut ReleaseRound,
    ) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "SELECT job_key, number, policy FROM prerequisite WHERE partition_id = $1 AND needed = $2 AND state = {} \
             AND job_key > $3 ORDER BY job_key LIMIT $4",
            PrerequisiteState::Broken.code()
        );
        let failed: Vec<WaitingRow> = self.all(&**tx, sql, of_task(task)).await?;
        round.again.extend(failed.iter().map(|one| one.job_key));
        Ok(next_of(&failed))
    }

    /// Lets jobs of one partition wait again that failed because of others, unless they need
    /// themselves by now; those that do.
    pub(crate) async fn wake(
        &self,
        tx: &Tx<'_>,
        slices: &mut [JobSlice],
        asked: &BTreeSet<i64>,
    ) -> Result<Vec<Arc<JobMeta>>, StoreError> {
        let failed = |slice: &&mut JobSlice| {
            asked.contains(&slice.job().meta.key) && slice.job().phase == Phase::Failed
        };
        let mut again: Vec<&mut JobSlice> = slices.iter_mut().filter(failed).collect();
        let runs = again.iter().map(|slice| slice.job());
        let runs = runs.map(|job| (job.meta.key, job.run));
        let causes = self.causes(tx, runs).await?;
        again.retain(|slice| {
            let cause = causes.get(&slice.job().meta.key);
            cause.is_some_and(FailureCause::is_prerequisite) && slice.check_retry().is_ok()
        });
        let names: Vec<JobName> = again.iter().map(|s| s.job().meta.name.clone()).collect();
        let Some(partition) = names.first().map(|name| name.partition.as_str()) else {
            return Ok(Vec::new());
        };
        let jobs: Vec<&str> = names.iter().map(|name| name.job.as_str()).collect();
        let cycles = self
            .cycles_of_retries(tx, partition, &jobs, Needing::Any)
            .await?;
        if let Some(cycle) = jobs.iter().find_map(|job| cycles.path(job)) {
            tracing::warn!(
                partition,
                cycle = cycle.join(" needs "),
                "cannot retry failed dependents: they need each other"
            );
        }
        again.retain(|slice| !cycles.contains(slice.job().meta.name.job.as_str()));
        for slice in &mut again {
            slice.retry()?;
        }
        self.wait_again(tx, &mut again).await?;
        Ok(again.iter().map(|slice| slice.job().meta.clone()).collect())
    }

    /// Lets those follow that failed because these had failed. They are as old as what was asked
    /// for, so all of them wait again before the first one looks at what it needs: what that looks
    /// at would seem to have failed.
    pub(crate) async fn add_tasks_for_more_retries(
        &self,
        tx: &Tx<'_>,
        again: &[Arc<JobMeta>],
        since: i64,
    ) -> Result<(), StoreError> {
        let Some(partition) = again.first().map(|meta| meta.name.partition.as_str()) else {
            return Ok(());
        };
        let jobs: Vec<&str> = again.iter().map(|meta| meta.name.job.as_str()).collect();
        let failed = &[PrerequisiteState::Broken];
        let needed = self.needed_among(tx, partition, &jobs, failed).await?;
        let needed: BTreeSet<&str> = needed.iter().map(String::as_str).collect();
        let followed = again.iter();
        let followed = followed.filter(|meta| needed.contains(meta.name.job.as_str()));
        let tasks = followed.map(|meta| task_cells(TaskKind::Retried, meta.key, &meta.name, since));
        RELEASE
            .write(self, tx, tasks.collect(), Conflict::Fail)
            .await?;
        Ok(())
    }
}
