//! Accepting jobs.

use std::sync::Arc;

use headway_domain::{
    Error, JobName, JobSlice, JobUid, Micros,
    event::Caller,
    job::JobMeta,
    spec::{JobSpec, Work},
    start::Prerequisite,
};
use sea_orm::FromQueryResult;
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
    db::bulk::{Cell, Kind, Table, Taken, insert_jobs},
    error::StoreError,
};

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
    /// The time of creation that [`Store::creation_times`] gave it; none for the next one.
    pub created: Option<Micros>,
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
    /// Inserts jobs; `None` for one whose name or request id is taken, or that is to be tried alone because another's is.
    /// None is inserted if one is refused.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] for [`Taken::Fail`], if one is taken; nothing is inserted then.
    pub(super) async fn insert(
        &self,
        jobs: &[NewJob],
        taken: Taken,
    ) -> Result<Vec<Option<Created>>, StoreError> {
        let db = &self.db;
        let uses = jobs.iter();
        let results = |job: &'_ NewJob| {
            job.spec
                .result_pipe
                .as_ref()
                .map(|pipe| pipe.as_str().to_owned())
        };
        let results: Vec<String> = jobs.iter().filter_map(results).collect();
        let results = results.iter().map(String::as_str);
        let pipes = uses.clone().map(|job| job.spec.pipe().as_str());
        self.admit_pipes(pipes.chain(results.clone())).await?;
        self.note_result_pipes(results).await?;
        self.note_pipes(uses.map(|job| (&job.name.partition, job.spec.pipe().as_str())))
            .await?;
        let partitions = jobs.iter().map(|job| job.name.partition.as_str());
        let (defaults, epoch) = self.partition_defaults(partitions.collect()).await?;
        let limited = db.limited(db.work_reader()).await?;
        let mut rows = Vec::with_capacity(jobs.len());
        let mut labels = Vec::new();
        let mut slices = Vec::with_capacity(jobs.len());
        for job in jobs {
            let defaults = defaults.get(job.name.partition.as_str());
            let defaults = defaults.cloned().unwrap_or_default();
            let mut slice = self.slice_of(job, &defaults, &limited, epoch).await;
            if defaults.suspended {
                slice.suspend();
            }
            slice.advance();
            slice.seal();
            rows.push(job_cells(job, &slice.job().meta)?);
            labels.extend(label_cells(&slice.job().meta));
            slices.push(slice);
        }
        let views: Vec<_> = slices
            .iter()
            .map(|slice| JobView::new(slice.job().clone()))
            .collect();
        let (tables, mut all) = new_rows(slices, db.now());
        let mut parts = vec![(&LABEL, labels)];
        parts.extend(tables);
        let keys = views.iter().map(|view| view.job.meta.key);
        let waiting: Vec<_> = jobs
            .iter()
            .zip(keys)
            .filter(|(job, _)| !job.spec.prerequisites.is_empty())
            .collect();
        let quotas = Quotas::of(jobs, &defaults);
        let inserted = if waiting.is_empty() && quotas.is_empty() {
            insert_jobs(db, (&JOB, rows), parts, taken).await?
        } else {
            self.insert_checked((&JOB, rows), parts, &waiting, &quotas)
                .await?
        };
        let created = views.into_iter().zip(jobs).map(|(view, job)| {
            if !inserted.contains(&view.job.meta.key) {
                return None;
            }
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
            Some(Created {
                view: JobView {
                    body: Some(job.spec.body().to_vec()),
                    prerequisites: requested(job),
                    ..view
                },
                existed: false,
                committed,
            })
        });
        Ok(created.collect())
    }

    /// A key above those of all jobs that were created before this millisecond, and below those that come after it.
    pub fn key_now(&self) -> i64 {
        key_of(self.db.now() / 1000 * 1000, 0)
    }

    /// Times of creation for jobs that are created together, in this order: jobs are listed by them.
    pub fn creation_times(&self, count: usize) -> impl Iterator<Item = Micros> + use<> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let first = self.creates.times(self.db.now(), count);
        first..first + count
    }

    async fn slice_of(
        &self,
        job: &NewJob,
        defaults: &PartitionDefaults,
        limited: &Limited,
        epoch: i64,
    ) -> JobSlice {
        let rationed = limited.rations(&job.name.partition, job.spec.pipe());
        let allowance = match job.spec.work {
            _ if rationed => 0,
            Work::Task(_) => FIRST_ALLOWANCE,
            Work::Batch(_) => self.first_allowance(job.spec.pipe().as_str()).await,
        };
        let now = match job.created {
            Some(created) => created,
            None => self.creates.times(self.db.now(), 1),
        };
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
        let mut moment = self.db.moment(rationed, epoch);
        moment.now = now;
        let mut slice = JobSlice::create(Arc::new(meta), allowance, moment);
        slice.wait_for(u32::try_from(job.spec.prerequisites.len()).unwrap_or(u32::MAX));
        slice.set_caller(Caller {
            user: job.creator.clone(),
            correlation: job.correlation.clone(),
        });
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
        let found: Option<Existing> = db
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

/// Keys rise with the time of creation, to the microsecond, so that the newest jobs stand together and are listed by the time that is
/// shown; the rest is random. Until this time, in milliseconds (the beginning of 2030), a millisecond has [`EARLY_BITS`] bits, as in
/// all versions: older ones may run beside this one. After it a millisecond has [`LATE_BITS`] bits, which last until 2184.
const LATE: i64 = 1_893_456_000_000;
/// Bits of a key below the millisecond before [`LATE`]: 10 for the microsecond, 12 random ones.
const EARLY_BITS: u32 = 22;
/// Bits of a key below the millisecond after [`LATE`]: 10 for the microsecond, 8 random ones.
const LATE_BITS: u32 = 18;
/// Bits of a key for the microsecond within its millisecond.
const MICROS_BITS: u32 = 10;

fn new_key(now: Micros) -> i64 {
    key_of(now, super::write::random_id())
}

fn key_of(now: Micros, random: i64) -> i64 {
    let (millis, micros) = (now.max(0) / 1000, now.max(0) % 1000);
    let (base, millis, bits) = match millis < LATE {
        true => (0, millis, EARLY_BITS),
        false => (LATE << EARLY_BITS, millis - LATE, LATE_BITS),
    };
    let random_bits = bits - MICROS_BITS;
    let below = micros << random_bits | random & ((1 << random_bits) - 1);
    // In 2184 keys reach their end; the last one is better than one that begins again below all others.
    let above = millis.checked_mul(1 << bits);
    let key = above.and_then(|above| above.checked_add(base)?.checked_add(below));
    key.unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a year, in microseconds.
    fn year(year: i64) -> Micros {
        let days = (1970..year).map(|year| {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            365 + i64::from(leap)
        });
        days.sum::<i64>() * 86_400_000_000
    }

    #[test]
    fn keys_rise_with_time_for_a_hundred_years_and_more() {
        let september_2039 = year(2039) + 250 * 86_400_000_000;
        let mut times = vec![
            year(2026),
            year(2030) - 1,
            year(2030),
            year(2030) + 1,
            september_2039,
            september_2039 + 1,
            year(2040),
            year(2100),
            year(2100) + 1,
            year(2184),
        ];
        times.dedup();
        for pair in times.windows(2) {
            let last = key_of(pair[0], i64::MAX);
            let next = key_of(pair[1], 0);
            assert!(0 < last && last < next, "{pair:?}: {last} {next}");
        }
        assert!(key_of(year(2184), i64::MAX) < i64::MAX);
    }

    #[test]
    fn keys_are_those_of_older_versions_to_the_millisecond() {
        for time in [year(2026), year(2029)] {
            assert_eq!(key_of(time, 0), (time / 1000) << 22);
            assert!(key_of(time + 999, i64::MAX) < (time / 1000 + 1) << 22);
        }
    }
}
