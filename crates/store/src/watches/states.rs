//! What watchers read: the present states of many jobs, and which have changed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headway_domain::{JobUid, Micros, PartitionId, jobs::JobMeta};
use sea_orm::FromQueryResult;

use crate::{
    db::keys,
    error::StoreError,
    jobs::{failures::MAX_FAILURES_SHOWN, view::JobView},
    slice::rows::{
        failure::{FAILURE, FailureRow},
        progress::{LIVE, ProgressRow},
    },
    store::Store,
};

#[derive(Debug, FromQueryResult)]
struct ChangedRow {
    uid: Vec<u8>,
    revision: i64,
}

impl Store {
    /// The uids and revisions of the jobs of a partition that are not settled and changed at or
    /// after `since`, at most `most`.
    pub async fn changed_jobs(
        &self,
        partition: &PartitionId,
        since: Micros,
        most: u32,
    ) -> Result<Vec<(JobUid, i64)>, StoreError> {
        let sql = format!(
            "SELECT j.uid, p.revision FROM job_progress p JOIN job j ON j.job_key = p.job_key \
                   WHERE p.partition_id = $1 AND p.live = {LIVE} AND p.updated >= $2 LIMIT $3"
        );
        let values = [
            partition.as_str().into(),
            since.into(),
            i64::from(most).into(),
        ];
        let changed: Vec<ChangedRow> = self.db.all(self.db.reader(), sql, values).await?;
        changed
            .into_iter()
            .map(|changed| {
                let uid = JobUid::from_slice(&changed.uid);
                let uid = uid.ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?;
                Ok((uid, changed.revision))
            })
            .collect()
    }

    /// The revisions of jobs, for watchers that may have missed a change; those that are gone are
    /// left out.
    pub async fn revisions(&self, uids: &[JobUid]) -> Result<Vec<(JobUid, i64)>, StoreError> {
        let metas = self.metas(uids).await?;
        let by_key: BTreeMap<i64, JobUid> =
            metas.values().map(|meta| (meta.key, meta.uid)).collect();
        let sql = format!(
            "SELECT job_key, revision FROM job_progress WHERE {}",
            self.db.is_in("job_key", 1)
        );
        #[derive(FromQueryResult)]
        struct Row {
            job_key: i64,
            revision: i64,
        }
        let rows: Vec<Row> = self
            .db
            .all(self.db.reader(), sql, [keys::ints(by_key.keys().copied())])
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| by_key.get(&row.job_key).map(|uid| (*uid, row.revision)))
            .collect())
    }
}

/// The present states of some jobs.
#[derive(Debug, Clone, Default)]
pub struct JobStates {
    /// Those that are there.
    pub views: HashMap<JobUid, JobView>,
    /// Those that this version cannot read.
    pub unreadable: Vec<JobUid>,
}

/// A failure among those of several jobs.
#[derive(Debug, FromQueryResult)]
struct JobOfFailureRow {
    job_key: i64,
}

impl Store {
    /// The present states of jobs, without bodies, in a number of statements that does not depend
    /// on how many there are. Those that are gone are left out. Jobs that this version cannot read
    /// are found by halves, and told apart.
    pub async fn job_states(&self, uids: &[JobUid]) -> Result<JobStates, StoreError> {
        let mut states = JobStates::default();
        let mut parts = vec![uids];
        while let Some(part) = parts.pop() {
            match self.readable_states(part).await {
                Ok(views) => states.views.extend(views),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => match part {
                    [uid] => {
                        tracing::debug!(job = %uid, %error, "cannot read a job; leaving it out");
                        states.unreadable.push(*uid);
                    }
                    part => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok(states)
    }

    /// The same; fails where one of them cannot be read.
    async fn readable_states(
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
            "SELECT {} FROM job_progress p WHERE {}",
            ProgressRow::COLUMNS,
            self.db.is_in("p.job_key", 1)
        );
        let list = keys::ints(by_key.keys().copied());
        let rows: Vec<ProgressRow> = self.db.all(self.db.reader(), sql, [list]).await?;
        let mut views = HashMap::with_capacity(rows.len());
        for job in self.db.jobs_of(rows, &by_key).await? {
            views.insert(job.meta.key, JobView::new(job));
        }
        self.add_samples(&mut views).await?;
        Ok(views
            .into_values()
            .map(|view| (view.job.meta.uid, view))
            .collect())
    }

    /// Adds the newest failures of the present runs.
    async fn add_samples(&self, views: &mut HashMap<i64, JobView>) -> Result<(), StoreError> {
        // Where failures were taken back their numbers have gaps.
        let gaps = |view: &JobView| view.job.counts.redriven > 0;
        for view in views.values_mut().filter(|view| gaps(view)) {
            view.failures = self.failure_sample(&view.job).await?;
        }
        let failing = views.values().filter(|view| !gaps(view));
        let failing = failing.filter(|view| view.job.counts.failures > 0);
        let failing: Vec<_> = failing
            .map(|view| {
                let first = i64::try_from(view.job.counts.failures).unwrap_or(i64::MAX)
                    - MAX_FAILURES_SHOWN;
                (view.job.meta.key, i64::from(view.job.run), first)
            })
            .collect();
        if failing.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT {} FROM {} JOIN failure f ON f.job_key = k.a AND f.run = k.b AND f.seq > k.c ORDER BY f.job_key, f.seq DESC",
            FAILURE.columns_of("f"),
            self.db.triples("k", 1)
        );
        for row in self
            .db
            .rows(self.db.reader(), sql, [keys::triples(failing)])
            .await?
        {
            let of = JobOfFailureRow::from_query_result(&row, "")?;
            let failure = FailureRow::from_query_result(&row, "")?;
            if let Some(view) = views.get_mut(&of.job_key) {
                view.failures.push(failure);
            }
        }
        // More may have failed between the two statements.
        for view in views.values_mut() {
            view.failures
                .truncate(usize::try_from(MAX_FAILURES_SHOWN).unwrap_or(usize::MAX));
        }
        Ok(())
    }
}
