//! What is owed to jobs that wait: each end of a job that others need writes a task in its own transaction, and so does each
//! job that begins to wait. Whoever commits works the tasks off; a sweep finds those that a crash left.
//!
//! Nothing is released early or lost: a job that begins to wait looks at what it needs in a transaction after its own, with those
//! jobs locked. One that ends before that look is seen to have ended; one that ends after it sees who waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use headway_domain::{
    JobId, JobName, JobSlice,
    job::{JobMeta, Phase},
    start::{Broken, OnPrerequisiteFailure},
};
use sea_orm::FromQueryResult;

use super::{
    cycles::Needing,
    owed::{RELEASE, TaskKind, task_cells},
    prerequisites::{Cause, PhaseRow, PrerequisiteState, Settled, broken, count, policy_code},
    unreadable::Source,
    work::Locking,
};
use crate::{
    Committed, Store,
    db::{Db, Durability, Tx, bulk::Conflict, keys},
    error::StoreError,
    rows::job::{phase, phase_code},
};

/// Tasks in one transaction at most.
const TASKS: i64 = 100;
/// Prerequisites settled by one transaction, about.
pub(super) const ROUND: usize = 500;

#[derive(Debug, FromQueryResult)]
pub(super) struct TaskRow {
    pub task_id: i64,
    kind: i64,
    pub job_key: i64,
    pub partition_id: String,
    job_id: String,
    pub after_key: i64,
    created: i64,
}

/// A prerequisite of a job that waits.
#[derive(Debug, Clone, FromQueryResult)]
pub(super) struct Waiting {
    pub job_key: i64,
    pub number: i64,
    pub policy: i64,
}

#[derive(Debug, FromQueryResult)]
pub(super) struct Tombstone {
    job_id: String,
    state: i64,
    root: String,
    cause: String,
}

/// What one transaction does.
#[derive(Default)]
pub(super) struct Round {
    met: Vec<(i64, i64)>,
    broken: Vec<(i64, i64, Arc<Broken>)>,
    /// Jobs that failed and wait again, if they failed because of others.
    again: BTreeSet<i64>,
    /// When it was asked for that they do.
    again_since: i64,
    finished: Vec<i64>,
    /// Tasks that go on above a key.
    resumed: Vec<(i64, i64)>,
}

impl Round {
    fn len(&self) -> usize {
        self.met.len() + self.broken.len() + self.again.len()
    }

    pub(super) fn settle(&mut self, waiting: &Waiting, broken: Option<&Arc<Broken>>) {
        let at = (waiting.job_key, waiting.number);
        match broken {
            Some(broken) if waiting.policy == policy_code(OnPrerequisiteFailure::Fail) => {
                self.broken.push((at.0, at.1, broken.clone()));
            }
            Some(_) if waiting.policy == policy_code(OnPrerequisiteFailure::Wait) => {}
            Some(_) | None => self.met.push(at),
        }
    }

    /// Marks a task as done, or where it goes on.
    pub(super) fn note(&mut self, task: i64, next: Option<i64>) {
        match next {
            None => self.finished.push(task),
            Some(after) => self.resumed.push((task, after)),
        }
    }
}

impl Store {
    /// Works off some of what is owed to jobs that wait; whether there may be more. A task that leads to a row that cannot be
    /// read is set aside.
    pub async fn release_dependents(&self) -> Result<(Committed, bool), StoreError> {
        let db = &self.db;
        let any =
            "SELECT count(*) AS value FROM (SELECT 1 AS one FROM release_task LIMIT 1) AS owed";
        if db.one_int(db.work_reader(), any, []).await?.unwrap_or(0) == 0 {
            return Ok((Committed::default(), false));
        }
        let mut seen = Vec::new();
        match self.release_some(TASKS, &mut seen).await {
            Err(error) if !error.is_passing() => {}
            result => return result,
        }
        // A row behind one of these tasks cannot be read. Alone, the first task is worked off, or set aside.
        let mut seen = Vec::new();
        match self.release_some(1, &mut seen).await {
            Err(error) if !error.is_passing() => {
                for task in seen {
                    self.set_aside(Source::Release, &task, &error).await?;
                }
                Ok((Committed::default(), true))
            }
            result => result,
        }
    }

    async fn release_some(
        &self,
        most: i64,
        seen: &mut Vec<String>,
    ) -> Result<(Committed, bool), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let sql = format!(
            "SELECT task_id, kind, job_key, partition_id, job_id, after_key, created FROM release_task \
             WHERE {} ORDER BY created, task_id LIMIT $1{}",
            db.not_set_aside(Source::Release, "CAST(task_id AS TEXT)", 2),
            db.skip_locked()
        );
        let values = [most.into(), db.now().into()];
        let tasks: Vec<TaskRow> = db.all(&*tx, sql, values).await?;
        if tasks.is_empty() {
            return Ok((Committed::default(), false));
        }
        seen.extend(tasks.iter().map(|task| task.task_id.to_string()));
        let worked_off = async {
            let round = db.work_off(&tx, &tasks).await?;
            self.finish_round(&tx, round).await
        };
        let worked_off = worked_off.await;
        Ok((tx.end(worked_off).await?, true))
    }

    /// How many looks are owed to jobs that wait.
    pub async fn release_tasks(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS value FROM release_task";
        let owed = self.db.one_int(self.db.work_reader(), sql, []).await?;
        crate::rows::unsigned(owed.unwrap_or(0))
    }

    async fn finish_round(&self, tx: &Tx<'_>, round: Round) -> Result<Committed, StoreError> {
        let db = &self.db;
        let mut slices = self.lock_waiting(tx, &round).await?;
        let met = db.mark(tx, &round.met, PrerequisiteState::Met).await?;
        let broken = round.broken.iter().map(|(key, number, _)| (*key, *number));
        let broken: Vec<_> = broken.collect();
        let failing = db.mark(tx, &broken, PrerequisiteState::Broken).await?;
        let why: BTreeMap<i64, &Arc<Broken>> = round
            .broken
            .iter()
            .rev()
            .map(|(key, _, broken)| (*key, broken))
            .collect();
        let again = db.wake(tx, &mut slices, &round.again).await?;
        for slice in &mut slices {
            let key = slice.job.meta.key;
            if let Some(count) = met.get(&key) {
                slice.prerequisites_met(*count);
            }
            if let Some(broken) = why.get(&key).filter(|_| failing.contains_key(&key)) {
                slice.prerequisite_broken(broken);
            }
            if slice.changed {
                db.advance(tx, slice).await?;
            }
        }
        let committed = db.write_slices(tx, slices).await?;
        db.owe_more_retries(tx, &again, round.again_since).await?;
        for (task, after) in &round.resumed {
            let sql = "UPDATE release_task SET after_key = $2 WHERE task_id = $1";
            db.run(&**tx, sql, [(*task).into(), (*after).into()])
                .await?;
        }
        let sql = format!("DELETE FROM release_task WHERE {}", db.is_in("task_id", 1));
        db.run(&**tx, sql, [keys::ints(round.finished)]).await?;
        Ok(committed)
    }

    async fn lock_waiting(&self, tx: &Tx<'_>, round: &Round) -> Result<Vec<JobSlice>, StoreError> {
        let met = round.met.iter().map(|(key, _)| *key);
        let broken = round.broken.iter().map(|(key, _, _)| *key);
        let mut concerned: Vec<i64> = met
            .chain(broken)
            .chain(round.again.iter().copied())
            .collect();
        concerned.sort_unstable();
        concerned.dedup();
        let metas = self.metas_in(tx, &concerned).await?;
        self.db.lock_jobs(tx, &metas, Locking::Wait).await
    }
}

impl Db {
    /// Works off tasks of one kind, the first of these and those that follow it. Checks lock the jobs that they look at, all in one
    /// order; who lets jobs wait again takes turns with others that do. So neither is done together with anything else.
    async fn work_off(&self, tx: &Tx<'_>, tasks: &[TaskRow]) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let is = |kind: TaskKind| move |task: &&TaskRow| task.kind == kind.code();
        let checks: Vec<&TaskRow> = tasks.iter().take_while(is(TaskKind::Check)).collect();
        if !checks.is_empty() {
            self.check(tx, &checks, &mut round).await?;
            return Ok(round);
        }
        if let Some(first) = tasks.first().filter(is(TaskKind::Retried)) {
            self.take_turns(tx, &first.partition_id).await?;
            round.again_since = first.created;
            let here = |task: &&TaskRow| task.partition_id == first.partition_id;
            let retried = tasks.iter().take_while(is(TaskKind::Retried));
            for task in retried.take_while(here) {
                if round.len() >= ROUND {
                    break;
                }
                let next = self.wake_failed(tx, task, &mut round).await?;
                round.note(task.task_id, next);
            }
            return Ok(round);
        }
        let ends = |task: &&TaskRow| !is(TaskKind::Check)(task) && !is(TaskKind::Retried)(task);
        for task in tasks.iter().take_while(ends) {
            if round.len() >= ROUND {
                break;
            }
            let next = self.settle_ended(tx, task, &mut round).await?;
            round.note(task.task_id, next);
        }
        Ok(round)
    }

    /// Settles some of those that wait for a job that ended or was deleted; where to go on, unless that was all.
    async fn settle_ended(
        &self,
        tx: &Tx<'_>,
        task: &TaskRow,
        round: &mut Round,
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
            // What waits for its name waits for the one that has it now, which may have been created before those that wait.
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
        let waiting: Vec<Waiting> = self.all(&**tx, sql, of_task(task)).await?;
        for one in &waiting {
            round.settle(one, broken.as_ref());
        }
        Ok(next_of(&waiting))
    }

    /// Wakes some of the jobs that failed because of this one; where to go on, unless that was all.
    async fn wake_failed(
        &self,
        tx: &Tx<'_>,
        task: &TaskRow,
        round: &mut Round,
    ) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "SELECT job_key, number, policy FROM prerequisite WHERE partition_id = $1 AND needed = $2 AND state = {} \
             AND job_key > $3 ORDER BY job_key LIMIT $4",
            PrerequisiteState::Broken.code()
        );
        let failed: Vec<Waiting> = self.all(&**tx, sql, of_task(task)).await?;
        round.again.extend(failed.iter().map(|one| one.job_key));
        Ok(next_of(&failed))
    }

    /// Lets jobs of one partition wait again that failed because of others, unless they need themselves by now; those that do.
    async fn wake(
        &self,
        tx: &Tx<'_>,
        slices: &mut [JobSlice],
        asked: &BTreeSet<i64>,
    ) -> Result<Vec<Arc<JobMeta>>, StoreError> {
        let failed = |slice: &&mut JobSlice| {
            asked.contains(&slice.job.meta.key) && slice.job.phase == Phase::Failed
        };
        let mut again: Vec<&mut JobSlice> = slices.iter_mut().filter(failed).collect();
        let runs = again.iter().map(|slice| &slice.job);
        let runs = runs.map(|job| (job.meta.key, job.run));
        let causes = self.causes(tx, runs).await?;
        again.retain(|slice| {
            let cause = causes.get(&slice.job.meta.key);
            cause.is_some_and(Cause::is_prerequisite) && JobSlice::clone(slice).retry().is_ok()
        });
        let names: Vec<JobName> = again.iter().map(|s| s.job.meta.name.clone()).collect();
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
        again.retain(|slice| !cycles.contains(slice.job.meta.name.job.as_str()));
        for slice in &mut again {
            slice.retry()?;
        }
        self.wait_again(tx, &mut again).await?;
        Ok(again.iter().map(|slice| slice.job.meta.clone()).collect())
    }

    /// Lets those follow that failed because these had failed. They are as old as what was asked for, so all of them wait again
    /// before the first one looks at what it needs: what that looks at would seem to have failed.
    async fn owe_more_retries(
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

    /// Marks prerequisites that are still open; how many of each job.
    async fn mark(
        &self,
        tx: &Tx<'_>,
        rows: &[(i64, i64)],
        state: PrerequisiteState,
    ) -> Result<BTreeMap<i64, u32>, StoreError> {
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "UPDATE prerequisite SET state = {} WHERE state = 0 \
             AND (job_key, number) IN (SELECT k.a, k.b FROM {}) RETURNING job_key",
            state.code(),
            self.pairs("k", 1)
        );
        let list = keys::pairs(rows.iter().copied());
        let settled: Vec<Settled> = self.all(&**tx, sql, [list]).await?;
        Ok(count(settled))
    }

    pub(super) async fn tombstones(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        jobs: &[&str],
    ) -> Result<BTreeMap<String, Tombstone>, StoreError> {
        if jobs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let list = serde_json::to_string(jobs).unwrap_or_default();
        let among = self.texts(2);
        let sql = format!(
            "SELECT job_id, state, root, cause FROM tombstone WHERE partition_id = $1 AND job_id IN ({among})"
        );
        let rows: Vec<Tombstone> = self
            .all(&**tx, sql, [partition.into(), list.into()])
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.job_id.clone(), row))
            .collect())
    }
}

/// How a job ended: not at all, complete, or broken.
pub(super) fn end_of(
    row: &PhaseRow,
    job: &JobId,
    cause: Option<&Cause>,
) -> Result<Option<Option<Arc<Broken>>>, StoreError> {
    let ended = phase(row.phase)?;
    Ok(match ended {
        Phase::Waiting | Phase::Active => None,
        Phase::Completed => Some(None),
        Phase::Failed | Phase::Cancelled => Some(Some(Arc::new(broken(job, ended, cause)))),
    })
}

fn of_task(task: &TaskRow) -> [sea_orm::Value; 4] {
    [
        task.partition_id.as_str().into(),
        task.job_id.as_str().into(),
        task.after_key.into(),
        (ROUND as i64).into(),
    ]
}

fn next_of(found: &[Waiting]) -> Option<i64> {
    let last = found.last().filter(|_| found.len() == ROUND);
    last.map(|last| last.job_key)
}

impl Tombstone {
    /// What those that wait are told; `None` when the job was complete.
    pub(super) fn broken(&self) -> Result<Option<Arc<Broken>>, StoreError> {
        if self.state == phase_code(Phase::Completed) {
            return Ok(None);
        }
        let how = match self.state == phase_code(Phase::Failed) {
            true => "failed and was deleted",
            false => "was deleted before it was complete",
        };
        Ok(Some(Arc::new(Broken {
            job: JobId::new(self.job_id.as_str())?,
            how: how.to_owned(),
            root: self.root.clone(),
            cause: self.cause.clone(),
        })))
    }
}
