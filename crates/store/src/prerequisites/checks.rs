//! The look at what jobs need that begin to wait: some of it may have ended before.

use std::collections::{BTreeMap, BTreeSet};

use headway_domain::JobId;
use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    ground::codes::Code,
    prerequisites::{
        cause::{PhaseRow, end_of},
        round::{MAX_SETTLED_PER_TX, ReleaseRound, WaitingRow},
        tasks::TaskRow,
        view::PrerequisiteState,
    },
};

/// A prerequisite of a job that a task checks, and the job it names, if that exists.
#[derive(Debug, FromQueryResult)]
struct CheckedRow {
    job_key: i64,
    number: i64,
    needed: String,
    optional: i64,
    policy: i64,
    needed_key: i64,
}

impl Db {
    /// Looks at what jobs need, with them and those jobs locked in one order.
    pub(crate) async fn check(
        &self,
        tx: &Tx<'_>,
        tasks: &[&TaskRow],
        round: &mut ReleaseRound,
    ) -> Result<(), StoreError> {
        // A job that began to wait twice has a second look later.
        let mut by_job: BTreeMap<i64, &TaskRow> = BTreeMap::new();
        for task in tasks {
            by_job.entry(task.job_key).or_insert(task);
        }
        let open = self.open_prerequisites(tx, &by_job).await?;
        // More than these are looked at from where they end: those of the last job, and all of the
        // jobs after it.
        let cut = open.last().filter(|_| open.len() == MAX_SETTLED_PER_TX);
        for (key, task) in &by_job {
            match cut {
                Some(last) if last.job_key < *key => {}
                Some(last) if last.job_key == *key => round.note(task.task_id, Some(last.number)),
                _ => round.note(task.task_id, None),
            }
        }
        let waiting = open.iter().map(|checked| checked.job_key);
        let needed = open.iter().map(|checked| checked.needed_key);
        let list: BTreeSet<i64> = needed.filter(|key| *key != 0).chain(waiting).collect();
        let rows = self.lock_phases(tx, list).await?;
        let phases: BTreeMap<i64, PhaseRow> =
            rows.into_iter().map(|row| (row.job_key, row)).collect();
        let failed = phases.values().filter_map(PhaseRow::failed);
        let causes = self.causes(tx, failed).await?;
        let mut gone: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for checked in &open {
            if let Some(task) = by_job.get(&checked.job_key)
                && !phases.contains_key(&checked.needed_key)
            {
                let of_partition = gone.entry(&task.partition_id).or_default();
                of_partition.push(&checked.needed);
            }
        }
        let mut tombstones = BTreeMap::new();
        for (partition, gone) in gone {
            let found = self.tombstones(tx, partition, &gone).await?;
            tombstones.extend(found.into_iter().map(|(job, how)| ((partition, job), how)));
        }
        for checked in &open {
            let Some(task) = by_job.get(&checked.job_key) else {
                continue;
            };
            let waiting = WaitingRow {
                job_key: checked.job_key,
                number: checked.number,
                policy: checked.policy,
            };
            let key = (task.partition_id.as_str(), checked.needed.clone());
            match (phases.get(&checked.needed_key), tombstones.get(&key)) {
                (Some(row), _) => {
                    let job = JobId::new(checked.needed.as_str())?;
                    if let Some(broken) = end_of(row, &job, causes.get(&row.job_key))? {
                        round.settle(&waiting, broken.as_ref());
                    }
                }
                (None, Some(tombstone)) => {
                    round.settle(&waiting, tombstone.broken()?.as_ref());
                }
                (None, None) if checked.optional != 0 => round.settle(&waiting, None),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Some of what the jobs of these tasks still need, by job and number.
    async fn open_prerequisites(
        &self,
        tx: &Tx<'_>,
        tasks: &BTreeMap<i64, &TaskRow>,
    ) -> Result<Vec<CheckedRow>, StoreError> {
        let open = PrerequisiteState::Open.code();
        let sql = format!(
            "SELECT p.job_key, p.number, p.needed, p.optional, p.policy, COALESCE(j.job_key, 0) AS needed_key FROM ( \
               SELECT p.job_key, p.number, p.needed, p.optional, p.policy, p.partition_id FROM {} JOIN prerequisite p ON p.job_key = k.a AND p.number > k.b AND p.state = {open} \
               ORDER BY p.job_key, p.number LIMIT $2) AS p \
             LEFT JOIN job j ON j.partition_id = p.partition_id AND j.job_id = p.needed \
             ORDER BY p.job_key, p.number",
            self.pairs("k", 1)
        );
        let tasks = tasks.iter();
        let list = keys::pairs(tasks.map(|(key, task)| (*key, task.after_key)));
        self.all(&**tx, sql, [list, (MAX_SETTLED_PER_TX as i64).into()])
            .await
    }
}
