//! Creations that share a commit: requests that come while one is under way wait for the next, so
//! that the cost of a durable commit is shared.

use std::sync::Arc;

use headway_domain::{Error, JobName, JobUid, PartitionId, jobs::JobMeta};
use sea_orm::FromQueryResult;
use tokio::sync::oneshot;
use tracing::instrument::WithSubscriber;

use crate::{
    db::insert::Taken,
    error::StoreError,
    ground::committed::Committed,
    jobs::{
        create::{
            lanes::Reply,
            new_job::{Created, NewJob},
        },
        view::JobView,
    },
    store::Store,
};

impl Store {
    /// Accepts a job, durably. The same name, or the same request id, with the same spec returns
    /// the job that exists.
    #[expect(
        clippy::disallowed_methods,
        reason = "a commit that panics drops the replies, so each of its callers gets an error"
    )]
    pub async fn create_job(&self, job: NewJob) -> Result<Created, StoreError> {
        let mut job = job;
        job.created.get_or_insert_with(|| self.creation_time());
        let (reply, mut answer) = oneshot::channel();
        self.creates.push(job, reply)?;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    return answer.unwrap_or_else(|_| Err(given_up()));
                }
                permit = self.creates.lane() => {
                    let Ok(permit) = permit else {
                        return Err(StoreError::Unavailable("the store is closed".to_owned()));
                    };
                    let group = self.creates.take();
                    if group.is_empty() {
                        // Somebody took this job along: looking for more to do until its commit is
                        // over would spin.
                        drop(permit);
                        return answer.await.unwrap_or_else(|_| Err(given_up()));
                    }
                    let store = self.clone();
                    // A task of its own: a caller that goes away must not take the others' commit
                    // with it.
                    let commit = async move {
                        store.commit_group(group).await;
                        drop(permit);
                    };
                    tokio::spawn(commit.with_current_subscriber());
                }
            }
        }
    }

    async fn commit_group(&self, mut group: Vec<(NewJob, Reply)>) {
        // Commits that meet the same names wait for each other; in one order they do not deadlock.
        group.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let (jobs, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        // Nearly all jobs are new, so the statement that cannot leave any out is tried first: see
        // `Taken`.
        let mut inserted = self.insert(&jobs, Taken::Fail).await;
        if matches!(inserted, Err(StoreError::Duplicate(_))) {
            inserted = self.insert(&jobs, Taken::LeaveOut).await;
        }
        match inserted {
            Ok(created) => {
                for ((reply, created), job) in replies.into_iter().zip(created).zip(jobs) {
                    // A caller that went away finds the job by its id or request id.
                    let _ = match created {
                        Some(created) => reply.send(Ok(created)),
                        // It exists, or is in the group twice.
                        None => reply.send(self.create_alone(job).await),
                    };
                }
            }
            // One of them is refused: each by itself.
            Err(StoreError::Domain(_) | StoreError::Refused(_) | StoreError::Broken(_)) => {
                for (reply, job) in replies.into_iter().zip(jobs) {
                    let _ = reply.send(self.create_alone(job).await);
                }
            }
            Err(error) => {
                let text = error.to_string();
                for reply in replies {
                    let _ = reply.send(Err(StoreError::Unavailable(text.clone())));
                }
            }
        }
    }

    async fn create_alone(&self, job: NewJob) -> Result<Created, StoreError> {
        let mut tries = 3;
        loop {
            if let Some(view) = self.existing_job(&job).await? {
                return Ok(Created {
                    view,
                    existed: true,
                    committed: Committed::default(),
                });
            }
            tries -= 1;
            let created = self
                .insert(std::slice::from_ref(&job), Taken::LeaveOut)
                .await?;
            if let Some(created) = created.into_iter().flatten().next() {
                return Ok(created);
            }
            // Another call created it meanwhile, and perhaps a third deleted it again.
            if tries == 0 {
                let text = format!("other calls create and delete job {} at once", job.name);
                return Err(StoreError::Unavailable(text));
            }
        }
    }
}

fn given_up() -> StoreError {
    StoreError::Unavailable("the commit was given up".to_owned())
}

#[derive(Debug, FromQueryResult)]
struct ExistingRow {
    uid: Vec<u8>,
    hash: Vec<u8>,
}

impl Store {
    /// The job that a creation would return instead of making a new one.
    ///
    /// # Errors
    /// When the name or the request id stands for a job with another spec.
    pub async fn existing_job(&self, job: &NewJob) -> Result<Option<JobView>, StoreError> {
        let db = &self.db;
        let hash = job.spec.hash();
        let partition = job.name.partition.as_str();
        if !job.request_id.is_empty() {
            let sql = "SELECT uid, hash FROM job WHERE partition_id = $1 AND request_id = $2";
            let found: Option<ExistingRow> = db
                .one(
                    db.work_reader(),
                    sql,
                    [partition.into(), job.request_id.as_str().into()],
                )
                .await?;
            if let Some(found) = found {
                return self.same(found, &hash, Error::RequestIdReused).await;
            }
        }
        let sql = "SELECT uid, hash FROM job WHERE partition_id = $1 AND job_id = $2";
        let found: Option<ExistingRow> = db
            .one(
                db.work_reader(),
                sql,
                [partition.into(), job.name.job.as_str().into()],
            )
            .await?;
        match found {
            Some(found) => self.same(found, &hash, Error::JobExists).await,
            None => Ok(None),
        }
    }

    /// The job that was created with a request id.
    pub(crate) async fn job_of_request(
        &self,
        partition: &PartitionId,
        request_id: &str,
    ) -> Result<Option<JobView>, StoreError> {
        let db = &self.db;
        let sql = "SELECT uid, hash FROM job WHERE partition_id = $1 AND request_id = $2";
        let values = [partition.as_str().into(), request_id.into()];
        let found: Option<ExistingRow> = db.one(db.work_reader(), sql, values).await?;
        let Some(found) = found else {
            return Ok(None);
        };
        match self.meta_in(&found).await? {
            Some(meta) => self.job_if_there(&meta).await,
            None => Ok(None),
        }
    }

    async fn same(
        &self,
        found: ExistingRow,
        hash: &[u8; 32],
        other: fn(JobName) -> Error,
    ) -> Result<Option<JobView>, StoreError> {
        let Some(meta) = self.meta_in(&found).await? else {
            return Ok(None);
        };
        if found.hash != hash {
            return Err(other(meta.name.clone()).into());
        }
        self.job_if_there(&meta).await
    }

    async fn meta_in(&self, found: &ExistingRow) -> Result<Option<Arc<JobMeta>>, StoreError> {
        let uid = JobUid::from_slice(&found.uid)
            .ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?;
        self.meta_of(uid).await
    }

    async fn job_if_there(&self, meta: &Arc<JobMeta>) -> Result<Option<JobView>, StoreError> {
        match self.job_known(meta).await {
            Ok(view) => Ok(Some(view)),
            Err(StoreError::Domain(Error::JobNotFound(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
