//! Release tasks: what is to be done for jobs that wait for others. [`super::release`] works them off.

use headway_domain::{JobName, job::JobMeta};
use sea_orm::FromQueryResult;

use crate::{
    db::{
        Db, Tx,
        bulk::{Cell, Conflict, Kind, Table},
        keys,
    },
    error::StoreError,
    ground::numbers::random_id,
    store::Store,
};

/// What a task is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// A job that began to wait: what it needs may have ended before.
    Check,
    /// A job that others need ended.
    Ended,
    /// A job that others need was deleted; its tombstone says how it stood.
    Deleted,
    /// A job was retried, and those that failed because of it are to wait for it again.
    Retried,
}

impl TaskKind {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Check => 1,
            Self::Ended => 2,
            Self::Deleted => 3,
            Self::Retried => 4,
        }
    }
}

pub(crate) const RELEASE: Table = Table {
    name: "release_task",
    keys: 1,
    insert_only: 0,
    columns: &[
        ("task_id", Kind::Int),
        ("kind", Kind::Int),
        ("job_key", Kind::Int),
        ("partition_id", Kind::Text),
        ("job_id", Kind::Text),
        ("after_key", Kind::Int),
        ("created", Kind::Int),
    ],
};

pub(crate) fn task_cells(kind: TaskKind, key: i64, name: &JobName, now: i64) -> Vec<Cell> {
    vec![
        random_id().into(),
        kind.code().into(),
        key.into(),
        name.partition.as_str().into(),
        name.job.as_str().into(),
        i64::from(-1i8).into(),
        now.into(),
    ]
}

impl Store {
    /// Lets the jobs that failed because of this one wait for it again, and those that failed because of them.
    pub(crate) async fn add_retry_task(
        &self,
        tx: &Tx<'_>,
        meta: &JobMeta,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let task = task_cells(TaskKind::Retried, meta.key, &meta.name, db.now());
        RELEASE.write(db, tx, vec![task], Conflict::Fail).await?;
        Ok(())
    }
}

impl Db {
    /// Adds tasks for the jobs that wait for jobs that ended; whether there are any.
    pub(crate) async fn add_tasks_for_ended(
        &self,
        tx: &Tx<'_>,
        ended: &[i64],
    ) -> Result<bool, StoreError> {
        self.add_tasks(tx, ended, TaskKind::Ended).await
    }

    /// Adds tasks for the jobs that wait for jobs that are about to be deleted; whether there are any.
    pub(crate) async fn add_tasks_for_deleted(
        &self,
        tx: &Tx<'_>,
        deleted: &[i64],
    ) -> Result<bool, StoreError> {
        self.add_tasks(tx, deleted, TaskKind::Deleted).await
    }

    async fn add_tasks(
        &self,
        tx: &Tx<'_>,
        jobs: &[i64],
        kind: TaskKind,
    ) -> Result<bool, StoreError> {
        if jobs.is_empty() {
            return Ok(false);
        }
        // With OFFSET it stays a look at the index for each job, whatever PostgreSQL believes of the sizes of these tables.
        let sql = format!(
            "INSERT INTO release_task (task_id, kind, job_key, partition_id, job_id, after_key, created) \
             SELECT k.b, $2, j.job_key, j.partition_id, j.job_id, -1, $3 FROM {} JOIN job j ON j.job_key = k.a \
             WHERE EXISTS (SELECT 1 FROM prerequisite p WHERE p.partition_id = j.partition_id AND p.needed = {} AND p.state = 0 LIMIT 1 OFFSET 0)",
            self.pairs("k", 1),
            self.in_default_order("j.job_id")
        );
        let list = keys::pairs(jobs.iter().map(|key| (*key, random_id())));
        let added = self
            .run(&**tx, sql, [list, kind.code().into(), self.now().into()])
            .await?;
        Ok(added > 0)
    }
}

#[derive(Debug, FromQueryResult)]
pub(crate) struct TaskRow {
    pub task_id: i64,
    pub(crate) kind: i64,
    pub job_key: i64,
    pub partition_id: String,
    pub(crate) job_id: String,
    pub after_key: i64,
    pub(crate) created: i64,
}
