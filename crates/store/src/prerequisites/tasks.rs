//! Release tasks: what is to be done for jobs that wait for others. [`super::release`] works them
//! off.

use headway_domain::{JobName, jobs::JobMeta};

use crate::{
    db::{Db, Tx, bulk::Conflict, keys, table::table},
    error::StoreError,
    ground::{
        codes::{Code, codes},
        numbers::random_id,
    },
    prerequisites::view::PrerequisiteState,
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

codes!(TaskKind, "kind {code} of a release task is unknown", {
    Check = 1,
    Ended = 2,
    Deleted = 3,
    Retried = 4,
});

table! {
    /// A row of `release_task`.
    pub(crate) struct TaskRow as "t";
    const RELEASE = "release_task";
    fn task_cells(kind: TaskKind, key: i64, name: &JobName, now: i64) {}
    key task_id: i64 = random_id(),
    kind: i64 = kind.code(),
    job_key: i64 = key,
    partition_id: String = name.partition.as_str(),
    job_id: String = name.job.as_str(),
    after_key: i64 = -1_i64,
    created: i64 = now,
}

impl Store {
    /// Lets the jobs that failed because of this one wait for it again, and those that failed
    /// because of them.
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

    /// Adds tasks for the jobs that wait for jobs that are about to be deleted; whether there are
    /// any.
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
        // With OFFSET it stays a look at the index for each job, whatever PostgreSQL believes of
        // the sizes of these tables.
        let open = PrerequisiteState::Open.code();
        let sql = format!(
            "INSERT INTO release_task (task_id, kind, job_key, partition_id, job_id, after_key, created) \
             SELECT k.b, $2, j.job_key, j.partition_id, j.job_id, -1, $3 FROM {} JOIN job j ON j.job_key = k.a \
             WHERE EXISTS (SELECT 1 FROM prerequisite p WHERE p.partition_id = j.partition_id AND p.needed = {} AND p.state = {open} LIMIT 1 OFFSET 0)",
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
