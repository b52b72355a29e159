//! Accepting jobs. Requests that come while a commit is under way share the next one, so that
//! the cost of a durable commit is shared too.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headway_domain::{
    Error, JobName, JobSlice, JobUid,
    event::Caller,
    job::JobMeta,
    spec::{JobSpec, Work},
    start::Prerequisite,
};
use sea_orm::FromQueryResult;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use super::{
    credit::FIRST_ALLOWANCE,
    limits::{Limited, Quotas},
    partitions::PartitionDefaults,
    prerequisites::{PrerequisiteState, PrerequisiteView},
    read::JobView,
    write::new_rows,
};
use crate::{
    Committed, Store,
    db::bulk::{Cell, Kind, Table, insert_all},
    error::StoreError,
};

/// Requests in one commit at most.
const GROUP: usize = 64;
/// A commit that takes longer is held up, as by a lock.
const HELD_UP: Duration = Duration::from_millis(50);
/// Requests waiting at most; more are told to come back.
const WAITING: usize = 4096;

/// A job to accept; its spec is valid.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its name.
    pub name: JobName,
    /// What to do.
    pub spec: JobSpec,
    /// Makes a repeated request harmless; empty for none.
    pub request_id: String,
    /// Who asks.
    pub creator: String,
    /// What the caller calls its request.
    pub correlation: String,
}

/// An accepted job.
#[derive(Debug, Clone)]
pub struct Created {
    /// The job as it is now.
    pub view: JobView,
    /// Whether it existed before, with the same spec.
    pub existed: bool,
    /// What is to be published now.
    pub committed: Committed,
}

type Reply = oneshot::Sender<Result<Created, StoreError>>;

/// Who waits for the next commit, and which commits may be under way: usually few, since the more requests share one the
/// less each costs; and some more while those are held up.
#[derive(Debug)]
pub(crate) struct Lanes {
    waiting: Mutex<Vec<(NewJob, Reply)>>,
    first: Arc<Semaphore>,
    more: Arc<Semaphore>,
}

impl Lanes {
    pub(crate) fn new(first: usize, more: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            first: Arc::new(Semaphore::new(first)),
            more: Arc::new(Semaphore::new(more)),
        }
    }

    /// The right to begin a commit.
    async fn lane(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let more = async {
            tokio::time::sleep(HELD_UP).await;
            self.more.clone().acquire_owned().await
        };
        tokio::select! {
            biased;
            lane = self.first.clone().acquire_owned() => lane,
            lane = more => lane,
        }
    }

    fn push(&self, job: NewJob, reply: Reply) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            return Err(StoreError::Unavailable(
                "too many jobs are being created at once".to_owned(),
            ));
        }
        waiting.push((job, reply));
        Ok(())
    }

    fn take(&self) -> Vec<(NewJob, Reply)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(GROUP);
        waiting.drain(..count).collect()
    }
}

const JOB: Table = Table {
    name: "job",
    keys: 1,
    insert_only: 0,
    columns: &[
        ("job_key", Kind::Int),
        ("uid", Kind::Bytes),
        ("partition_id", Kind::Text),
        ("job_id", Kind::Text),
        ("shard", Kind::Int),
        ("request_id", Kind::Text),
        ("hash", Kind::Bytes),
        ("spec", Kind::Text),
        ("body", Kind::Bytes),
        ("creator", Kind::Text),
        ("created", Kind::Int),
        ("items_per_message", Kind::Int),
        ("display_name", Kind::Text),
    ],
};

pub(super) const LABEL: Table = Table {
    name: "label",
    keys: 2,
    insert_only: 0,
    columns: &[
        ("job_key", Kind::Int),
        ("name", Kind::Text),
        ("value", Kind::Text),
        ("partition_id", Kind::Text),
    ],
};

#[derive(Debug, FromQueryResult)]
struct Existing {
    uid: Vec<u8>,
    hash: Vec<u8>,
}

impl Store {
    /// Accepts a job, durably. The same name, or the same request id, with the same spec returns the job that exists.
    pub async fn create_job(&self, job: NewJob) -> Result<Created, StoreError> {
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
                        // Somebody took this job along: looking for more to do until its commit is over would spin.
                        drop(permit);
                        return answer.await.unwrap_or_else(|_| Err(given_up()));
                    }
                    let store = self.clone();
                    // A task of its own: a caller that goes away must not take the others' commit with it.
                    tokio::spawn(async move {
                        store.commit_group(group).await;
                        drop(permit);
                    });
                }
            }
        }
    }

    async fn commit_group(&self, mut group: Vec<(NewJob, Reply)>) {
        // Commits that meet the same names wait for each other; in one order they do not deadlock.
        group.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let (jobs, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        // Checking beforehand whether they exist would cost all of them as much as it saves those that do.
        match self.insert(&jobs).await {
            Ok(created) => {
                for (reply, created) in replies.into_iter().zip(created) {
                    // A caller that went away finds the job by its id or request id.
                    let _ = reply.send(Ok(created));
                }
            }
            // Some of them exist, or are in the group twice, or one is refused: each by itself.
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
            match self.insert(std::slice::from_ref(&job)).await {
                Ok(created) => {
                    return created
                        .into_iter()
                        .next()
                        .ok_or_else(|| StoreError::Broken("an insert gave nothing".to_owned()));
                }
                // Somebody else may have created it meanwhile.
                Err(StoreError::Broken(_)) if tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Inserts all of them, or none if one exists or is refused.
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Created>, StoreError> {
        let db = &self.db;
        let uses = jobs.iter();
        self.note_pipes(uses.map(|job| (&job.name.partition, job.spec.pipe().as_str())))
            .await?;
        let partitions = jobs.iter().map(|job| job.name.partition.as_str());
        let defaults = self.partition_defaults(partitions.collect()).await?;
        let limited = db.limited(db.reader()).await?;
        let mut rows = Vec::with_capacity(jobs.len());
        let mut labels = Vec::new();
        let mut slices = Vec::with_capacity(jobs.len());
        for job in jobs {
            let defaults = defaults.get(job.name.partition.as_str());
            let defaults = defaults.cloned().unwrap_or_default();
            let mut slice = self.slice_of(job, &defaults, &limited).await;
            if defaults.suspended {
                slice.suspend();
            }
            slice.advance();
            slice.seal();
            rows.push(job_cells(job, &slice.job.meta)?);
            labels.extend(label_cells(&slice.job.meta));
            slices.push(slice);
        }
        let views: Vec<_> = slices
            .iter()
            .map(|slice| JobView::new(slice.job.clone()))
            .collect();
        let (tables, mut all) = new_rows(slices, db.now());
        let mut parts = vec![(&JOB, rows), (&LABEL, labels)];
        parts.extend(tables);
        let keys = views.iter().map(|view| view.job.meta.key);
        let waiting: Vec<_> = jobs
            .iter()
            .zip(keys)
            .filter(|(job, _)| !job.spec.prerequisites.is_empty())
            .collect();
        let quotas = Quotas::of(jobs, &defaults);
        if waiting.is_empty() && quotas.is_empty() {
            insert_all(db, parts).await?;
        } else {
            self.insert_checked(parts, &waiting, &quotas).await?;
        }
        let created = views.into_iter().zip(jobs).map(|(view, job)| {
            self.db.meta.insert(view.job.meta.clone());
            let uid = view.job.meta.uid;
            // Each caller publishes what is owed for its own job.
            let committed = Committed {
                owed: all.owed.extract_if(.., |owed| owed.uid == uid).collect(),
                releases: !job.spec.prerequisites.is_empty(),
                controls: Vec::new(),
                changes: all
                    .changes
                    .extract_if(.., |change| change.uid == uid)
                    .collect(),
            };
            Created {
                view: JobView {
                    body: Some(job.spec.body().to_vec()),
                    prerequisites: requested(job),
                    ..view
                },
                existed: false,
                committed,
            }
        });
        Ok(created.collect())
    }

    /// A key above those of all jobs that were created before this millisecond, and below those that come after it.
    pub fn key_now(&self) -> i64 {
        (self.db.now() / 1000) << KEY_RANDOM
    }

    async fn slice_of(
        &self,
        job: &NewJob,
        defaults: &PartitionDefaults,
        limited: &Limited,
    ) -> JobSlice {
        let rationed = limited.rations(&job.name.partition, job.spec.pipe());
        let allowance = match job.spec.work {
            _ if rationed => 0,
            Work::Task(_) => FIRST_ALLOWANCE,
            Work::Batch(_) => self.first_allowance(job.spec.pipe().as_str()).await,
        };
        let now = self.db.now();
        let uid = JobUid(Uuid::new_v4());
        let mut spec = job.spec.without_body();
        spec.retention = spec.retention.or(&defaults.retention);
        let meta = JobMeta {
            key: new_key(now),
            uid,
            name: job.name.clone(),
            shard: uid.shard(self.db.shards),
            spec,
            creator: job.creator.clone(),
            created: now,
            version: 0,
        };
        let mut slice = JobSlice::create(Arc::new(meta), allowance, self.db.moment(rationed));
        slice.wait_for(u32::try_from(job.spec.prerequisites.len()).unwrap_or(u32::MAX));
        slice.caller = Caller {
            user: job.creator.clone(),
            correlation: job.correlation.clone(),
        };
        slice
    }

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
            let found: Option<Existing> = db
                .one(
                    db.reader(),
                    sql,
                    [partition.into(), job.request_id.as_str().into()],
                )
                .await?;
            if let Some(found) = found {
                return self.same(found, &hash, Error::RequestIdReused).await;
            }
        }
        let sql = "SELECT uid, hash FROM job WHERE partition_id = $1 AND job_id = $2";
        let found: Option<Existing> = db
            .one(
                db.reader(),
                sql,
                [partition.into(), job.name.job.as_str().into()],
            )
            .await?;
        match found {
            Some(found) => self.same(found, &hash, Error::JobExists).await,
            None => Ok(None),
        }
    }

    async fn same(
        &self,
        found: Existing,
        hash: &[u8; 32],
        other: fn(JobName) -> Error,
    ) -> Result<Option<JobView>, StoreError> {
        let uid = JobUid::from_slice(&found.uid)
            .ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?;
        let Some(meta) = self.meta_of(uid).await? else {
            return Ok(None);
        };
        if found.hash != hash {
            return Err(other(meta.name.clone()).into());
        }
        match self.job(&meta.name).await {
            Ok(view) => Ok(Some(view)),
            Err(StoreError::Domain(Error::JobNotFound(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn requested(job: &NewJob) -> Vec<PrerequisiteView> {
    let view = |needed: &Prerequisite| PrerequisiteView {
        job: needed.job.clone(),
        optional: needed.optional,
        state: PrerequisiteState::Open,
    };
    job.spec.prerequisites.iter().map(view).collect()
}

fn given_up() -> StoreError {
    StoreError::Unavailable("the commit was given up".to_owned())
}

/// Bits of a key that are random.
const KEY_RANDOM: u32 = 22;

/// Keys rise with time, to the millisecond, so that the newest jobs stand together; the rest is random.
fn new_key(now: i64) -> i64 {
    let random = super::write::random_id() & ((1 << KEY_RANDOM) - 1);
    ((now / 1000) << KEY_RANDOM) | random
}

fn job_cells(job: &NewJob, meta: &JobMeta) -> Result<Vec<Cell>, StoreError> {
    let spec = serde_json::to_string(&meta.spec)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok(vec![
        meta.key.into(),
        meta.uid.0.as_bytes().to_vec().into(),
        meta.name.partition.as_str().into(),
        meta.name.job.as_str().into(),
        meta.shard.into(),
        job.request_id.as_str().into(),
        job.spec.hash().to_vec().into(),
        spec.into(),
        job.spec.body().into(),
        job.creator.as_str().into(),
        meta.created.into(),
        job.spec.items_per_message.into(),
        job.spec.display_name.as_str().into(),
    ])
}

pub(super) fn label_cells(meta: &JobMeta) -> impl Iterator<Item = Vec<Cell>> {
    let partition = meta.name.partition.as_str();
    meta.spec.labels.iter().map(move |(name, value)| {
        vec![
            meta.key.into(),
            name.as_str().into(),
            value.as_str().into(),
            partition.into(),
        ]
    })
}
