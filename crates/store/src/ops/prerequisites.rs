//! Which jobs wait for which: written with the job that waits, and remembered of jobs that are gone.

use std::collections::{BTreeMap, HashSet};

use headway_domain::{
    Error, JobId, JobName, JobSlice, PartitionId,
    job::Phase,
    start::{BrokenPrerequisite, FirstFailure, OnPrerequisiteFailure},
};
use sea_orm::FromQueryResult;

use super::{
    create::NewJob,
    cycles::{Cycles, Needing, Needs},
    limits::Quotas,
    owed::{RELEASE, TaskKind, task_cells},
};
use crate::{
    Store,
    db::{
        Db, Durability, Tx,
        bulk::{Cell, Conflict, Kind, Part, Table, insert_free},
        keys,
    },
    error::StoreError,
    rows::job::phase_code,
};

/// Tombstones removed in one round.
const EXPIRED: i64 = 1000;

/// Where a prerequisite stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrerequisiteState {
    /// It is waited for.
    Open,
    /// It is complete, or counts as complete.
    Met,
    /// It will not be complete, and the job failed because of it.
    Broken,
}

impl PrerequisiteState {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Met => 1,
            Self::Broken => 2,
        }
    }

    fn of(code: i64) -> Self {
        match code {
            0 => Self::Open,
            1 => Self::Met,
            _ => Self::Broken,
        }
    }
}

/// A prerequisite of a job, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrerequisiteView {
    /// The id of the job that is needed.
    pub job: JobId,
    /// See [`headway_domain::start::Prerequisite::optional`].
    pub optional: bool,
    /// Where it stands.
    pub state: PrerequisiteState,
}

#[derive(Debug, FromQueryResult)]
struct PrerequisiteRow {
    needed: String,
    optional: i64,
    state: i64,
}

/// Why a job failed.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Cause {
    job_key: i64,
    code: String,
    message: String,
    details: String,
}

const PREREQUISITE: Table = Table {
    name: "prerequisite",
    keys: 2,
    insert_only: 0,
    columns: &[
        ("job_key", Kind::Int),
        ("number", Kind::Int),
        ("partition_id", Kind::Text),
        ("needed", Kind::Text),
        ("optional", Kind::Int),
        ("policy", Kind::Int),
        ("state", Kind::Int),
    ],
};

const TOMBSTONE: Table = Table {
    name: "tombstone",
    keys: 2,
    insert_only: 0,
    columns: &[
        ("partition_id", Kind::Text),
        ("job_id", Kind::Text),
        ("state", Kind::Int),
        ("root", Kind::Text),
        ("cause", Kind::Text),
        ("deleted", Kind::Int),
    ],
};

pub(crate) fn policy_code(policy: OnPrerequisiteFailure) -> i64 {
    match policy {
        OnPrerequisiteFailure::Fail => 0,
        OnPrerequisiteFailure::RunAnyway => 1,
        OnPrerequisiteFailure::Wait => 2,
    }
}

fn prerequisite_cells(job: &NewJob, key: i64) -> Vec<Vec<Cell>> {
    let policy = policy_code(job.spec.on_prerequisite_failure);
    let numbered = (0i64..).zip(&job.spec.prerequisites);
    numbered
        .map(|(number, prerequisite)| {
            vec![
                key.into(),
                number.into(),
                job.name.partition.as_str().into(),
                prerequisite.job.as_str().into(),
                prerequisite.optional.into(),
                policy.into(),
                PrerequisiteState::Open.code().into(),
            ]
        })
        .collect()
}

impl Store {
    /// Inserts jobs of which some wait for others. Those that wait owe a look at what they wait for, which finds what ended
    /// before it could know of them. Creations that may close a cycle take turns. Inserts all, or none if the name or request
    /// id of one is taken. Returns the keys of those that were inserted.
    pub(crate) async fn insert_checked(
        &self,
        jobs: Part,
        parts: Vec<Part>,
        waiting: &[(&NewJob, i64)],
        quotas: &Quotas,
    ) -> Result<HashSet<i64>, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let mut partitions: BTreeMap<&PartitionId, Needs> = BTreeMap::new();
        for (job, _) in waiting {
            let needed = job.spec.prerequisites.iter();
            let needed = needed.map(|prerequisite| prerequisite.job.to_string());
            let needs = partitions.entry(&job.name.partition).or_default();
            needs.insert(job.name.job.to_string(), needed.collect());
        }
        for partition in partitions.keys() {
            db.take_turns(&tx, partition.as_str()).await?;
        }
        db.hold_to(&tx, quotas).await?;
        let wanted = jobs.1.len();
        let inserted = insert_free(db, &tx, jobs).await?.keys;
        if inserted.len() < wanted {
            return Ok(HashSet::new());
        }
        for (table, rows) in parts {
            table.write(db, &tx, rows, Conflict::Fail).await?;
        }
        for (partition, needs) in partitions {
            db.refuse_cycles(&tx, partition, needs).await?;
        }
        let rows = waiting.iter();
        let rows = rows.flat_map(|(job, key)| prerequisite_cells(job, *key));
        PREREQUISITE
            .write(db, &tx, rows.collect(), Conflict::Fail)
            .await?;
        let tasks = waiting.iter();
        let tasks = tasks.map(|(job, key)| task_cells(TaskKind::Check, *key, &job.name, db.now()));
        RELEASE
            .write(db, &tx, tasks.collect(), Conflict::Fail)
            .await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// What a job waits or waited for, by id.
    pub(crate) async fn prerequisites(
        &self,
        key: i64,
    ) -> Result<Vec<PrerequisiteView>, StoreError> {
        let sql =
            "SELECT needed, optional, state FROM prerequisite WHERE job_key = $1 ORDER BY number";
        let rows: Vec<PrerequisiteRow> = self
            .db
            .all(self.db.work_reader(), sql, [key.into()])
            .await?;
        let view = |row: PrerequisiteRow| {
            Ok(PrerequisiteView {
                job: JobId::new(row.needed)?,
                optional: row.optional != 0,
                state: PrerequisiteState::of(row.state),
            })
        };
        rows.into_iter().map(view).collect()
    }

    /// Forgets how jobs ended that were deleted before a time; whether there may be more. What is created later and needs
    /// one of them waits for a new job of that name.
    pub async fn expire_tombstones(&self, before: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM tombstone WHERE (partition_id, job_id) IN ( \
                     SELECT partition_id, job_id FROM tombstone WHERE deleted < $1 ORDER BY deleted LIMIT $2)";
        let gone = self
            .db
            .run_alone(sql, [before.into(), EXPIRED.into()])
            .await?;
        Ok(gone == EXPIRED as u64)
    }
}

impl Db {
    /// Refuses jobs that would close a cycle by waiting, given what each of them needs. There is none among those that wait already:
    /// unless some of them need a new job, a cycle is one of new jobs alone.
    async fn refuse_cycles(
        &self,
        tx: &Tx<'_>,
        partition: &PartitionId,
        needs: Needs,
    ) -> Result<(), StoreError> {
        let jobs: Vec<String> = needs.keys().cloned().collect();
        let new: Vec<&str> = jobs.iter().map(String::as_str).collect();
        let (waiting, named) = (Needing::Waiting, partition.as_str());
        let needed = self.needed_among(tx, named, &new, waiting.states());
        let cycles = match needed.await?.is_empty() {
            true => Cycles::of(needs),
            false => self.cycles(tx, named, needs, waiting).await?,
        };
        let closing = jobs
            .into_iter()
            .find_map(|job| Some((cycles.path(&job)?, job)));
        let Some((cycle, job)) = closing else {
            return Ok(());
        };
        let partition = partition.clone();
        let job = JobId::new(job)?;
        let job = JobName { partition, job };
        Err(Error::Cycle { job, cycle }.into())
    }

    /// Lets jobs that are retried wait again for what was not complete; whether any does.
    pub(crate) async fn wait_again(
        &self,
        tx: &Tx<'_>,
        slices: &mut [&mut JobSlice],
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE prerequisite SET state = 0 WHERE {} AND state <> 1 RETURNING job_key",
            self.is_in("job_key", 1)
        );
        let keys = slices.iter().map(|slice| slice.job().meta.key);
        let opened: Vec<Settled> = self.all(&**tx, sql, [keys::ints(keys)]).await?;
        let opened = count(opened);
        let mut tasks = Vec::with_capacity(opened.len());
        for slice in slices {
            let meta = slice.job().meta.clone();
            if let Some(count) = opened.get(&meta.key) {
                slice.wait_for(*count);
                tasks.push(task_cells(
                    TaskKind::Check,
                    meta.key,
                    &meta.name,
                    self.now(),
                ));
            }
        }
        RELEASE.write(self, tx, tasks, Conflict::Fail).await?;
        Ok(!opened.is_empty())
    }

    /// Remembers how jobs stood that are about to be deleted; whether others wait for one.
    pub(crate) async fn bury(&self, tx: &Tx<'_>, slices: &[JobSlice]) -> Result<bool, StoreError> {
        let failed = slices.iter().map(|slice| slice.job());
        let failed = failed.filter(|job| job.phase == Phase::Failed);
        let failed = failed.map(|job| (job.meta.key, job.run));
        let causes = self.causes(tx, failed).await?;
        let mut rows = Vec::with_capacity(slices.len());
        for slice in slices {
            let job = slice.job();
            let name = &job.meta.name;
            let first = causes.get(&job.meta.key).map(Cause::failure);
            let broken = BrokenPrerequisite::new(&name.job, job.phase, first);
            let phase = match job.phase {
                Phase::Completed => Phase::Completed,
                Phase::Failed => Phase::Failed,
                Phase::Waiting | Phase::Active | Phase::Cancelled => Phase::Cancelled,
            };
            rows.push(vec![
                name.partition.as_str().into(),
                name.job.as_str().into(),
                phase_code(phase).into(),
                broken.root.into(),
                broken.cause.into(),
                self.now().into(),
            ]);
        }
        TOMBSTONE.write(self, tx, rows, Conflict::Update).await?;
        let keys: Vec<i64> = slices.iter().map(|slice| slice.job().meta.key).collect();
        self.owe_dependents_of_deleted(tx, &keys).await
    }

    /// The first failures of runs, by job.
    pub(crate) async fn causes(
        &self,
        tx: &Tx<'_>,
        runs: impl IntoIterator<Item = (i64, u32)>,
    ) -> Result<BTreeMap<i64, Cause>, StoreError> {
        let runs: Vec<_> = runs.into_iter().collect();
        if runs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT f.job_key, f.code, f.message, f.details FROM {} JOIN failure f ON f.job_key = k.a AND f.run = k.b \
             AND f.seq = (SELECT seq FROM failure WHERE job_key = k.a AND run = k.b ORDER BY seq LIMIT 1)",
            self.pairs("k", 1)
        );
        let runs = runs.into_iter().map(|(key, run)| (key, i64::from(run)));
        let causes: Vec<Cause> = self.all(&**tx, sql, [keys::pairs(runs)]).await?;
        Ok(causes
            .into_iter()
            .map(|cause| (cause.job_key, cause))
            .collect())
    }

    /// Locks jobs in the order of their keys and reads how far they are; those that are gone are left out.
    pub(crate) async fn lock_phases(
        &self,
        tx: &Tx<'_>,
        list: impl IntoIterator<Item = i64>,
    ) -> Result<Vec<PhaseRow>, StoreError> {
        let sql = format!(
            "SELECT job_key, phase, run FROM job_progress WHERE {} ORDER BY job_key{}",
            self.is_in("job_key", 1),
            self.for_update()
        );
        self.all(&**tx, sql, [keys::ints(list)]).await
    }
}

impl PhaseRow {
    /// The run that failed, by job, if one did.
    pub(super) fn failed(&self) -> Option<(i64, u32)> {
        let run = u32::try_from(self.run).unwrap_or(0);
        (self.phase == phase_code(Phase::Failed)).then_some((self.job_key, run))
    }
}

/// How far a job is, as far as those that wait for it care.
#[derive(Debug, Clone, Copy, FromQueryResult)]
pub(crate) struct PhaseRow {
    pub job_key: i64,
    pub phase: i64,
    pub run: i64,
}

impl Cause {
    /// The failure, as the rules read it.
    pub(super) fn failure(&self) -> FirstFailure<'_> {
        FirstFailure {
            code: &self.code,
            message: &self.message,
            details: &self.details,
        }
    }

    /// Whether the job failed because of another that it needed.
    pub(super) fn is_prerequisite(&self) -> bool {
        self.failure().is_prerequisite()
    }
}

/// A prerequisite that a statement changed.
#[derive(Debug, FromQueryResult)]
pub(super) struct Settled {
    job_key: i64,
}

/// How many of each job.
pub(super) fn count(settled: Vec<Settled>) -> BTreeMap<i64, u32> {
    let mut counts = BTreeMap::new();
    for one in settled {
        *counts.entry(one.job_key).or_default() += 1;
    }
    counts
}
