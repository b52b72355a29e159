//! Reading jobs and failures. Reads take no lock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headway_domain::{Error, Job, JobName, JobUid, job::JobMeta};
use sea_orm::{FromQueryResult, Value};

use super::{
    prerequisites::PrerequisiteView,
    retry::{FailureFilter, listed},
};
use crate::{
    Store,
    db::keys,
    error::StoreError,
    rows::{
        item::FAILURE,
        job::{PROGRESS, ProgressRow},
        meta::{META_COLUMNS, MetaRow},
        unsigned,
    },
};

/// Failures shown with a job at most.
pub(super) const SAMPLE: i64 = 10;

/// A job as it was at one commit.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job; its spec has no body.
    pub job: Job,
    /// The payload or definition, where it was asked for.
    pub body: Option<Vec<u8>>,
    /// Its newest failures, where they were asked for.
    pub failures: Vec<FailureRow>,
    /// What it waits or waited for, by id, where that was asked for.
    pub prerequisites: Vec<PrerequisiteView>,
}

impl JobView {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job,
            body: None,
            failures: Vec::new(),
            prerequisites: Vec::new(),
        }
    }
}

/// A recorded failure.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct FailureRow {
    /// Rises by one with each failure of a run, from 1.
    pub seq: i64,
    /// The run.
    pub run: i64,
    /// The page.
    pub page: i64,
    /// The item's index, -1 when the page could not be split, -2 when the job as a whole failed.
    pub idx: i64,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// More.
    pub details: String,
    /// The attempt that failed, from 1.
    pub attempt: i64,
    /// When it was recorded, in microseconds.
    pub recorded: i64,
    /// Who reported it.
    pub worker: String,
}

/// Some failures and where the next ones begin.
#[derive(Debug, Clone)]
pub struct FailurePage {
    /// Oldest first.
    pub failures: Vec<FailureRow>,
    /// The run they are of.
    pub run: u32,
    /// The number to continue above, if there may be more.
    pub next: Option<i64>,
}

#[derive(Debug, FromQueryResult)]
struct BodyRow {
    body: Vec<u8>,
    prerequisites: i64,
}

impl Store {
    /// Reads a job with its body and newest failures.
    pub async fn job(&self, name: &JobName) -> Result<JobView, StoreError> {
        let meta = self.named(name).await?;
        let gone = || StoreError::Domain(Error::JobNotFound(name.clone()));
        let job = self.read_job(&meta).await?.ok_or_else(gone)?;
        let body: Option<BodyRow> = self
            .db
            .one(
                self.db.work_reader(),
                "SELECT body, (SELECT count(*) FROM prerequisite p WHERE p.job_key = $1) AS prerequisites \
                 FROM job WHERE job_key = $1",
                [meta.key.into()],
            )
            .await?;
        let body = body.ok_or_else(gone)?;
        let failures = self.failure_sample(&job).await?;
        let prerequisites = match body.prerequisites {
            0 => Vec::new(),
            _ => self.prerequisites(meta.key).await?,
        };
        Ok(JobView {
            job,
            body: Some(body.body),
            failures,
            prerequisites,
        })
    }

    /// Reads the present state of a job by its uid, without its body; `None` when it is gone.
    pub async fn job_state(&self, uid: JobUid) -> Result<Option<JobView>, StoreError> {
        let Some(meta) = self.meta_of(uid).await? else {
            return Ok(None);
        };
        let Some(job) = self.read_job(&meta).await? else {
            return Ok(None);
        };
        let failures = self.failure_sample(&job).await?;
        Ok(Some(JobView {
            failures,
            ..JobView::new(job)
        }))
    }

    /// The revisions of jobs, for watchers that may have missed a change; those that are gone are left out.
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

    /// Reads what is known of a job beside its progress, by its name.
    pub(crate) async fn named(&self, name: &JobName) -> Result<Arc<JobMeta>, StoreError> {
        let sql =
            format!("SELECT {META_COLUMNS} FROM job j WHERE j.partition_id = $1 AND j.job_id = $2");
        let values = [name.partition.as_str().into(), name.job.as_str().into()];
        let row: Option<MetaRow> = self.db.one(self.db.work_reader(), sql, values).await?;
        let row = row.ok_or_else(|| Error::JobNotFound(name.clone()))?;
        let meta = Arc::new(JobMeta::try_from(row)?);
        self.db.meta.insert(meta.clone());
        Ok(meta)
    }

    pub(crate) async fn read_job(&self, meta: &Arc<JobMeta>) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "SELECT {} FROM job_progress p WHERE p.job_key = $1",
            PROGRESS.columns_of("p")
        );
        let row: Option<ProgressRow> = self
            .db
            .one(self.db.work_reader(), sql, [meta.key.into()])
            .await?;
        let known = HashMap::from([(meta.key, meta)]);
        let jobs = self.db.jobs_of(Vec::from_iter(row), &known).await?;
        Ok(jobs.into_iter().next())
    }

    pub(super) async fn failure_sample(&self, job: &Job) -> Result<Vec<FailureRow>, StoreError> {
        if job.counts.standing_failures() == 0 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {} FROM failure f WHERE f.job_key = $1 AND f.run = $2 ORDER BY f.seq DESC LIMIT $3",
            FAILURE.columns_of("f")
        );
        let values = [
            job.meta.key.into(),
            i64::from(job.run).into(),
            SAMPLE.into(),
        ];
        self.db.all(self.db.work_reader(), sql, values).await
    }

    /// Lists the failures of a job's present run that are meant, oldest first, above the last number seen. A number of an
    /// earlier run is a bad page token.
    pub async fn list_failures(
        &self,
        name: &JobName,
        filter: &FailureFilter,
        above: Option<(u32, i64)>,
        size: u32,
    ) -> Result<FailurePage, StoreError> {
        let meta = self.named(name).await?;
        let job = self
            .read_job(&meta)
            .await?
            .ok_or_else(|| Error::JobNotFound(name.clone()))?;
        if above.is_some_and(|(run, _)| run != job.run) {
            return Err(Error::PageToken.into());
        }
        let (meant, more) = listed(filter, &self.db, 5);
        let sql = format!(
            "SELECT {} FROM failure f WHERE f.job_key = $1 AND f.run = $2 AND f.seq > $3 AND {meant} ORDER BY f.seq LIMIT $4",
            FAILURE.columns_of("f")
        );
        let values = [
            meta.key.into(),
            i64::from(job.run).into(),
            above.map_or(0, |(_, seq)| seq).into(),
            (i64::from(size) + 1).into(),
        ];
        let values: Vec<Value> = values.into_iter().chain(more).collect();
        let mut failures: Vec<FailureRow> = self.db.all(self.db.reader(), sql, values).await?;
        let more = failures.len() > size as usize;
        failures.truncate(size as usize);
        let next = failures.last().filter(|_| more).map(|failure| failure.seq);
        Ok(FailurePage {
            failures,
            run: job.run,
            next,
        })
    }

    /// How many rows of each table speak of a job: what tests compare with nothing.
    pub async fn rows_of(&self, uid: JobUid) -> Result<BTreeMap<&'static str, u64>, StoreError> {
        let mut counts = BTreeMap::new();
        let Some(meta) = self.meta_of(uid).await? else {
            return Ok(counts);
        };
        for table in [
            "job",
            "job_progress",
            "label",
            "batch",
            "page",
            "item",
            "failure",
            "sample",
            "split_retry",
            "prerequisite",
        ] {
            let sql = format!("SELECT count(*) AS value FROM {table} WHERE job_key = $1");
            let count = self
                .db
                .one_int(self.db.reader(), sql, [meta.key.into()])
                .await?;
            counts.insert(table, unsigned(count.unwrap_or(0))?);
        }
        Ok(counts)
    }
}
