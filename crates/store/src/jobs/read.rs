//! Reading one job. Reads take no lock.

use std::{collections::BTreeMap, sync::Arc};

use headway_domain::{Error, JobName, JobUid, jobs::JobMeta};
use sea_orm::FromQueryResult;

use crate::{error::StoreError, ground::numbers::unsigned, jobs::view::JobView, store::Store};

#[derive(Debug, FromQueryResult)]
struct BodyRow {
    body: Vec<u8>,
    prerequisites: i64,
}

impl Store {
    /// Reads a job with its body and newest failures.
    pub async fn job(&self, name: &JobName) -> Result<JobView, StoreError> {
        let meta = self.named(name).await?;
        self.job_known(&meta).await
    }

    /// The same for a job that was found before: its name may stand for another one by now.
    pub(crate) async fn job_known(&self, meta: &Arc<JobMeta>) -> Result<JobView, StoreError> {
        let gone = || StoreError::Domain(Error::JobNotFound(meta.name.clone()));
        let job = self.read_job(meta).await?.ok_or_else(gone)?;
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
