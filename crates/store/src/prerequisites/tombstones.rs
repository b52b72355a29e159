//! How jobs ended that are gone.

use std::{collections::BTreeMap, sync::Arc};

use headway_domain::{JobId, JobName, JobSlice, jobs::Phase, prerequisites::BrokenPrerequisite};

use crate::{
    db::{Db, Tx, bulk::Conflict, table::table},
    error::StoreError,
    ground::codes::Code,
    prerequisites::cause::FailureCause,
    store::Store,
};

/// Tombstones removed in one round.
const MAX_EXPIRED: i64 = 1000;

table! {
    /// A row of `tombstone`.
    pub(crate) struct TombstoneRow as "t";
    const TOMBSTONE = "tombstone";
    fn tombstone_cells(name: &JobName, phase: Phase, broken: BrokenPrerequisite, now: i64) {}
    key_only partition_id: String = name.partition.as_str(),
    key job_id: String = name.job.as_str(),
    state: i64 = phase.code(),
    root: String = broken.root,
    cause: String = broken.cause,
    write deleted: i64 = now,
}

impl Store {
    /// Forgets how jobs ended that were deleted before a time; whether there may be more. What is
    /// created later and needs one of them waits for a new job of that name.
    pub async fn expire_tombstones(&self, before: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM tombstone WHERE (partition_id, job_id) IN ( \
                     SELECT partition_id, job_id FROM tombstone WHERE deleted < $1 ORDER BY deleted LIMIT $2)";
        let gone = self
            .db
            .run_alone(sql, [before.into(), MAX_EXPIRED.into()])
            .await?;
        Ok(gone == MAX_EXPIRED as u64)
    }
}

impl Db {
    /// Remembers how jobs stood that are about to be deleted; whether others wait for one.
    pub(crate) async fn write_tombstones(
        &self,
        tx: &Tx<'_>,
        slices: &[JobSlice],
    ) -> Result<bool, StoreError> {
        let failed = slices.iter().map(|slice| slice.job());
        let failed = failed.filter(|job| job.phase == Phase::Failed);
        let failed = failed.map(|job| (job.meta.key, job.run));
        let causes = self.causes(tx, failed).await?;
        let mut rows = Vec::with_capacity(slices.len());
        for slice in slices {
            let job = slice.job();
            let name = &job.meta.name;
            let first = causes.get(&job.meta.key).map(FailureCause::failure);
            let broken = BrokenPrerequisite::new(&name.job, job.phase, first);
            let phase = match job.phase {
                Phase::Completed => Phase::Completed,
                Phase::Failed => Phase::Failed,
                Phase::Waiting | Phase::Active | Phase::Cancelled => Phase::Cancelled,
            };
            rows.push(tombstone_cells(name, phase, broken, self.now()));
        }
        TOMBSTONE.write(self, tx, rows, Conflict::Update).await?;
        let keys: Vec<i64> = slices.iter().map(|slice| slice.job().meta.key).collect();
        self.add_tasks_for_deleted(tx, &keys).await
    }
}

impl TombstoneRow {
    /// What those that wait are told; `None` when the job was complete.
    pub(crate) fn broken(&self) -> Result<Option<Arc<BrokenPrerequisite>>, StoreError> {
        if self.state == Phase::Completed.code() {
            return Ok(None);
        }
        let how = match self.state == Phase::Failed.code() {
            true => "failed and was deleted",
            false => "was deleted before it was complete",
        };
        Ok(Some(Arc::new(BrokenPrerequisite {
            job: JobId::new(self.job_id.as_str())?,
            how: how.to_owned(),
            root: self.root.clone(),
            cause: self.cause.clone(),
        })))
    }
}

impl Db {
    pub(crate) async fn tombstones(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        jobs: &[&str],
    ) -> Result<BTreeMap<String, TombstoneRow>, StoreError> {
        if jobs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let list = serde_json::to_string(jobs).unwrap_or_default();
        let among = self.texts(2);
        let sql = format!(
            "SELECT {} FROM tombstone t WHERE t.partition_id = $1 AND t.job_id IN ({among})",
            TombstoneRow::COLUMNS
        );
        let rows: Vec<TombstoneRow> = self
            .all(&**tx, sql, [partition.into(), list.into()])
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.job_id.clone(), row))
            .collect())
    }
}
