//! Reading many jobs: lists, counts, and what watches of a partition compare. Reads take no lock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headway_domain::{JobState, JobUid, Micros, PartitionId, job::JobMeta};
use sea_orm::{ConnectionTrait, FromQueryResult, Value};

use super::read::{FailureRow, JobView, SAMPLE};
use crate::{
    Store,
    db::keys,
    error::StoreError,
    rows::{
        job::{ProgressRow, state_code, state_of},
        meta::{META_COLUMNS, MetaRow},
        unsigned,
    },
};

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In one of these states; empty for any.
    pub states: Vec<JobState>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// Some jobs and where the next ones begin.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// The key to continue below, if there may be more.
    pub next: Option<i64>,
}

#[derive(Debug, FromQueryResult)]
struct Count {
    state: i64,
    jobs: i64,
}

#[derive(Debug, FromQueryResult)]
struct Changed {
    uid: Vec<u8>,
    revision: i64,
}

/// A failure among those of several jobs.
#[derive(Debug, FromQueryResult)]
struct FailureOf {
    job_key: i64,
}

impl Store {
    /// Lists jobs of a partition, newest first, below the key of the last one seen.
    pub async fn list_jobs(
        &self,
        partition: &PartitionId,
        filter: &JobFilter,
        below: Option<i64>,
        size: u32,
    ) -> Result<JobPage, StoreError> {
        let mut values: Vec<Value> = vec![
            partition.as_str().into(),
            below.unwrap_or(i64::MAX).into(),
            (i64::from(size) + 1).into(),
        ];
        let mut labels = String::new();
        for (name, value) in &filter.labels {
            values.push(name.as_str().into());
            values.push(value.as_str().into());
            let n = values.len();
            labels.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM label l WHERE l.job_key = k.job_key AND l.name = ${} AND l.value = ${n})",
                n - 1
            ));
        }
        // A range of an index for each state: those of the others are not looked at.
        let some = |table: &str, state: &str| {
            format!(
                "SELECT job_key FROM (SELECT k.job_key FROM {table} k WHERE k.partition_id = $1{state} AND k.job_key < $2{labels} \
                 ORDER BY k.job_key DESC LIMIT $3) s"
            )
        };
        let keys: Vec<_> = match filter.states.as_slice() {
            [] => vec![some("job", "")],
            states => states
                .iter()
                .map(|state| {
                    some(
                        "job_progress",
                        &format!(" AND k.state = {}", state_code(*state)),
                    )
                })
                .collect(),
        };
        let sql = format!(
            "SELECT {META_COLUMNS}, p.* FROM ({}) k JOIN job j ON j.job_key = k.job_key \
             JOIN job_progress p ON p.job_key = k.job_key ORDER BY k.job_key DESC LIMIT $3",
            keys.join(" UNION ALL ")
        );
        let statement = self.db.statement(sql, values);
        let rows = self.db.reader().query_all_raw(statement).await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            let meta = JobMeta::try_from(MetaRow::from_query_result(row, "")?)?;
            let job = ProgressRow::from_query_result(row, "")?.into_job(Arc::new(meta))?;
            jobs.push(JobView::new(job));
        }
        let more = jobs.len() > size as usize;
        jobs.truncate(size as usize);
        let next = jobs.last().filter(|_| more).map(|view| view.job.meta.key);
        Ok(JobPage { jobs, next })
    }

    /// How many jobs of a partition are in each state that any is in.
    pub async fn count_jobs(
        &self,
        partition: &PartitionId,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        let sql = "SELECT state, count(*) AS jobs FROM job_progress WHERE partition_id = $1 GROUP BY state ORDER BY state";
        let counts: Vec<Count> = self
            .db
            .all(self.db.reader(), sql, [partition.as_str().into()])
            .await?;
        counts
            .into_iter()
            .map(|count| Ok((state_of(count.state)?, unsigned(count.jobs)?)))
            .collect()
    }

    /// The uids and revisions of jobs of a partition that are not settled and changed at or after a time, at most so many.
    pub async fn changed_jobs(
        &self,
        partition: &PartitionId,
        since: Micros,
        most: u32,
    ) -> Result<Vec<(JobUid, i64)>, StoreError> {
        let sql = "SELECT j.uid, p.revision FROM job_progress p JOIN job j ON j.job_key = p.job_key \
                   WHERE p.partition_id = $1 AND p.live = 1 AND p.updated >= $2 LIMIT $3";
        let values = [
            partition.as_str().into(),
            since.into(),
            i64::from(most).into(),
        ];
        let changed: Vec<Changed> = self.db.all(self.db.reader(), sql, values).await?;
        changed
            .into_iter()
            .map(|changed| {
                let uid = JobUid::from_slice(&changed.uid);
                let uid = uid.ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?;
                Ok((uid, changed.revision))
            })
            .collect()
    }

    /// The present states of jobs, without bodies, in a number of statements that does not depend on how many there are. Those that are gone
    /// are left out.
    pub async fn job_states(
        &self,
        uids: &[JobUid],
    ) -> Result<HashMap<JobUid, JobView>, StoreError> {
        let metas = self.metas(uids).await?;
        let by_key: HashMap<i64, &Arc<JobMeta>> =
            metas.values().map(|meta| (meta.key, meta)).collect();
        if by_key.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT * FROM job_progress WHERE {}",
            self.db.is_in("job_key", 1)
        );
        let list = keys::ints(by_key.keys().copied());
        let rows: Vec<ProgressRow> = self.db.all(self.db.reader(), sql, [list]).await?;
        let mut views = HashMap::with_capacity(rows.len());
        for row in rows {
            let Some(meta) = by_key.get(&row.job_key) else {
                continue;
            };
            let view = JobView::new(row.into_job(Arc::clone(meta))?);
            views.insert(meta.key, view);
        }
        self.add_samples(&mut views).await?;
        Ok(views
            .into_values()
            .map(|view| (view.job.meta.uid, view))
            .collect())
    }

    /// Adds the newest failures of the present runs.
    async fn add_samples(&self, views: &mut HashMap<i64, JobView>) -> Result<(), StoreError> {
        let failing = views.values().filter(|view| view.job.counts.failures > 0);
        let failing: Vec<_> = failing
            .map(|view| {
                let first = i64::try_from(view.job.counts.failures).unwrap_or(i64::MAX) - SAMPLE;
                (view.job.meta.key, i64::from(view.job.run), first)
            })
            .collect();
        if failing.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT f.* FROM {} JOIN failure f ON f.job_key = k.a AND f.run = k.b AND f.seq > k.c ORDER BY f.job_key, f.seq DESC",
            self.db.triples("k", 1)
        );
        let statement = self.db.statement(sql, [keys::triples(failing)]);
        for row in self.db.reader().query_all_raw(statement).await? {
            let of = FailureOf::from_query_result(&row, "")?;
            let failure = FailureRow::from_query_result(&row, "")?;
            if let Some(view) = views.get_mut(&of.job_key) {
                view.failures.push(failure);
            }
        }
        // More may have failed between the two statements.
        for view in views.values_mut() {
            view.failures
                .truncate(usize::try_from(SAMPLE).unwrap_or(usize::MAX));
        }
        Ok(())
    }
}
