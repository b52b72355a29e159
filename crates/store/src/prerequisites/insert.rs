//! Which jobs wait for which: written with the job that waits.

use std::collections::{BTreeMap, HashSet};

use headway_domain::{JobId, PartitionId, prerequisites::Prerequisite};

use crate::{
    db::{
        Durability,
        bulk::Conflict,
        insert::{Part, insert_free},
        table::table,
    },
    error::StoreError,
    ground::codes::Code,
    jobs::create::new_job::NewJob,
    partitions::quotas::Quotas,
    prerequisites::{
        cycles::Needs,
        tasks::{RELEASE, TaskKind, task_cells},
        view::{PrerequisiteState, PrerequisiteView},
    },
    store::Store,
};

table! {
    /// A row of `prerequisite`.
    pub(crate) struct PrerequisiteRow as "p";
    const PREREQUISITE = "prerequisite";
    fn prerequisite_cells(job: &NewJob, key: i64, number: i64, prerequisite: &Prerequisite) {}
    key_only job_key: i64 = key,
    key_only number: i64 = number,
    write partition_id: String = job.name.partition.as_str(),
    needed: String = prerequisite.job.as_str(),
    optional: i64 = prerequisite.optional,
    write policy: i64 = job.spec.on_prerequisite_failure.code(),
    state: i64 = PrerequisiteState::Open.code(),
}

impl Store {
    /// Inserts jobs of which some wait for others. Those that wait owe a look at what they wait
    /// for, which finds what ended before it could know of them. Creations that may close a cycle
    /// take turns. Inserts all, or none if the name or request id of one is taken. Returns the keys
    /// of those that were inserted.
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
        let rows = rows.flat_map(|(job, key)| {
            let numbered = (0..).zip(&job.spec.prerequisites);
            numbered.map(|(number, needed)| prerequisite_cells(job, *key, number, needed))
        });
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
        let sql = format!(
            "SELECT {} FROM prerequisite p WHERE p.job_key = $1 ORDER BY p.number",
            PrerequisiteRow::COLUMNS
        );
        let rows: Vec<PrerequisiteRow> = self
            .db
            .all(self.db.work_reader(), sql, [key.into()])
            .await?;
        let view = |row: PrerequisiteRow| {
            Ok(PrerequisiteView {
                job: JobId::new(row.needed)?,
                optional: row.optional != 0,
                state: PrerequisiteState::of(row.state).unwrap_or(PrerequisiteState::Broken),
            })
        };
        rows.into_iter().map(view).collect()
    }
}
