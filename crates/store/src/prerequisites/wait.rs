//! Prerequisites that are settled, and those that are waited for again.

use std::collections::BTreeMap;

use headway_domain::JobSlice;
use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Tx, bulk::Conflict, keys},
    error::StoreError,
    ground::codes::Code,
    prerequisites::{
        tasks::{RELEASE, TaskKind, task_cells},
        view::PrerequisiteState,
    },
};

/// A prerequisite that a statement changed.
#[derive(Debug, FromQueryResult)]
pub(crate) struct SettledRow {
    job_key: i64,
}

/// How many of each job.
pub(crate) fn count(settled: Vec<SettledRow>) -> BTreeMap<i64, u32> {
    let mut counts = BTreeMap::new();
    for one in settled {
        *counts.entry(one.job_key).or_default() += 1;
    }
    counts
}

impl Db {
    /// Lets jobs that are retried wait again for what was not complete; whether any does.
    pub(crate) async fn wait_again(
        &self,
        tx: &Tx<'_>,
        slices: &mut [&mut JobSlice],
    ) -> Result<bool, StoreError> {
        let [open, met] = [PrerequisiteState::Open, PrerequisiteState::Met].map(Code::code);
        let sql = format!(
            "UPDATE prerequisite SET state = {open} WHERE {} AND state <> {met} RETURNING job_key",
            self.is_in("job_key", 1)
        );
        let keys = slices.iter().map(|slice| slice.job().meta.key);
        let opened: Vec<SettledRow> = self.all(&**tx, sql, [keys::ints(keys)]).await?;
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

    /// Marks prerequisites that are still open; how many of each job.
    pub(crate) async fn mark(
        &self,
        tx: &Tx<'_>,
        rows: &[(i64, i64)],
        state: PrerequisiteState,
    ) -> Result<BTreeMap<i64, u32>, StoreError> {
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let open = PrerequisiteState::Open.code();
        let sql = format!(
            "UPDATE prerequisite SET state = {} WHERE state = {open} \
             AND (job_key, number) IN (SELECT k.a, k.b FROM {}) RETURNING job_key",
            state.code(),
            self.pairs("k", 1)
        );
        let list = keys::pairs(rows.iter().copied());
        let settled: Vec<SettledRow> = self.all(&**tx, sql, [list]).await?;
        Ok(count(settled))
    }
}
