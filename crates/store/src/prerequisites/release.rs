//! Working off release tasks. Each transaction that ends a job that others need writes a task, and
//! so does each job that begins to wait. The process that commits works the tasks off; a sweep
//! finds those that a crash left.
//!
//! Nothing is released early or lost: a job that begins to wait looks at what it needs in a
//! transaction after its own, with those jobs locked. One that ends before that look is seen to
//! have ended; one that ends after it sees who waits.

use std::{collections::BTreeMap, sync::Arc};

use headway_domain::{JobSlice, prerequisites::BrokenPrerequisite};

use crate::{
    db::{Db, Durability, Tx, keys},
    deployment::unreadable::Source,
    error::StoreError,
    ground::{codes::Code, committed::Committed, numbers::unsigned},
    prerequisites::{
        round::{MAX_SETTLED_PER_TX, ReleaseRound},
        tasks::{TaskKind, TaskRow},
        view::PrerequisiteState,
    },
    slice::load::Locking,
    store::Store,
};

/// Tasks in one transaction at most.
const MAX_TASKS_PER_TX: i64 = 100;

impl Store {
    /// Works off some release tasks; whether there may be more. A task that leads to a row that
    /// cannot be read is set aside.
    pub async fn release_dependents(&self) -> Result<(Committed, bool), StoreError> {
        let db = &self.db;
        let any =
            "SELECT count(*) AS value FROM (SELECT 1 AS one FROM release_task LIMIT 1) AS tasks";
        if db.one_int(db.work_reader(), any, []).await?.unwrap_or(0) == 0 {
            return Ok((Committed::default(), false));
        }
        let mut seen = Vec::new();
        match self.release_some(MAX_TASKS_PER_TX, &mut seen).await {
            Err(error) if !error.is_passing() => {}
            result => return result,
        }
        // A row behind one of these tasks cannot be read. Alone, the first task is worked off, or
        // set aside.
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
            "SELECT {} FROM release_task t WHERE {} ORDER BY t.created, t.task_id LIMIT $1{}",
            TaskRow::COLUMNS,
            db.not_set_aside(Source::Release, "CAST(t.task_id AS TEXT)", 2),
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

    /// How many release tasks there are.
    pub async fn release_tasks(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS value FROM release_task";
        let tasks = self.db.one_int(self.db.work_reader(), sql, []).await?;
        unsigned(tasks.unwrap_or(0))
    }

    async fn finish_round(
        &self,
        tx: &Tx<'_>,
        round: ReleaseRound,
    ) -> Result<Committed, StoreError> {
        let db = &self.db;
        let mut slices = self.lock_waiting(tx, &round).await?;
        let met = db.mark(tx, &round.met, PrerequisiteState::Met).await?;
        let broken = round.broken.iter().map(|(key, number, _)| (*key, *number));
        let broken: Vec<_> = broken.collect();
        let failing = db.mark(tx, &broken, PrerequisiteState::Broken).await?;
        let why: BTreeMap<i64, &Arc<BrokenPrerequisite>> = round
            .broken
            .iter()
            .rev()
            .map(|(key, _, broken)| (*key, broken))
            .collect();
        let again = db.wake(tx, &mut slices, &round.again).await?;
        for slice in &mut slices {
            let key = slice.job().meta.key;
            if let Some(count) = met.get(&key) {
                slice.prerequisites_met(*count);
            }
            if let Some(broken) = why.get(&key).filter(|_| failing.contains_key(&key)) {
                slice.prerequisite_broken(broken);
            }
            if slice.has_changed() {
                db.advance(tx, slice).await?;
            }
        }
        let committed = db.write_slices(tx, slices).await?;
        db.add_tasks_for_more_retries(tx, &again, round.again_since)
            .await?;
        for (task, after) in &round.resumed {
            let sql = "UPDATE release_task SET after_key = $2 WHERE task_id = $1";
            db.run(&**tx, sql, [(*task).into(), (*after).into()])
                .await?;
        }
        let sql = format!("DELETE FROM release_task WHERE {}", db.is_in("task_id", 1));
        db.run(&**tx, sql, [keys::ints(round.finished)]).await?;
        Ok(committed)
    }

    async fn lock_waiting(
        &self,
        tx: &Tx<'_>,
        round: &ReleaseRound,
    ) -> Result<Vec<JobSlice>, StoreError> {
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
    /// Works off tasks of one kind, the first of these and those that follow it. Checks lock the
    /// jobs that they look at, all in one order; who lets jobs wait again takes turns with others
    /// that do. So neither is done together with anything else.
    async fn work_off(&self, tx: &Tx<'_>, tasks: &[TaskRow]) -> Result<ReleaseRound, StoreError> {
        let mut round = ReleaseRound::default();
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
                if round.len() >= MAX_SETTLED_PER_TX {
                    break;
                }
                let next = self.wake_failed(tx, task, &mut round).await?;
                round.note(task.task_id, next);
            }
            return Ok(round);
        }
        let ends = |task: &&TaskRow| !is(TaskKind::Check)(task) && !is(TaskKind::Retried)(task);
        for task in tasks.iter().take_while(ends) {
            if round.len() >= MAX_SETTLED_PER_TX {
                break;
            }
            let next = self.settle_ended(tx, task, &mut round).await?;
            round.note(task.task_id, next);
        }
        Ok(round)
    }
}
