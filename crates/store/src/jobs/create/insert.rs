//! Accepting jobs.

use std::{collections::BTreeSet, sync::Arc};

use headway_domain::{
    JobSlice, JobUid, Micros,
    events::Caller,
    jobs::{JobMeta, Work},
    prerequisites::Prerequisite,
};
use uuid::Uuid;

use crate::{
    db::insert::{Condition, Taken, insert_jobs},
    error::StoreError,
    ground::{committed::Committed, limited::Limited},
    jobs::{
        create::{
            key::{key_of, new_key},
            new_job::{Created, NewJob},
        },
        view::JobView,
    },
    partitions::{
        defaults::{Defaults, PartitionDefaults},
        quotas::Quotas,
    },
    pipes::rates::FIRST_ALLOWANCE,
    prerequisites::view::{PrerequisiteState, PrerequisiteView},
    slice::{
        rows::job::{JOB, LABEL, job_cells, label_cells},
        write::new_rows,
    },
    store::Store,
};

impl Store {
    /// Inserts jobs; `None` for one whose name or request id is taken, or that is to be tried alone
    /// because another's is. None is inserted if one is refused.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] for [`Taken::Fail`], if one is taken; nothing is inserted then.
    pub(super) async fn insert(
        &self,
        jobs: &[NewJob],
        taken: Taken,
    ) -> Result<Vec<Option<Created>>, StoreError> {
        self.note_pipes(jobs).await?;
        let partitions = jobs.iter().map(|job| job.name.partition.as_str());
        let partitions: BTreeSet<_> = partitions.collect();
        // What is cached is most likely still true; the statement makes sure.
        if taken == Taken::Fail
            && let Some(cached) = self.defaults.of(&partitions)
            && let Some(created) = self.insert_cached(jobs, &cached).await?
        {
            return Ok(created);
        }
        let defaults = self.defaults.read(&self.db, &partitions).await?;
        self.insert_with(jobs, &defaults, taken, None).await
    }

    /// Inserts jobs that take over what is cached, all or none; `None` if that is not true any
    /// more, or if they are held to quotas or wait for others, which takes more than one statement.
    async fn insert_cached(
        &self,
        jobs: &[NewJob],
        cached: &Defaults,
    ) -> Result<Option<Vec<Option<Created>>>, StoreError> {
        let waits = |job: &NewJob| !job.spec.prerequisites.is_empty();
        if jobs.iter().any(waits) || !Quotas::of(jobs, cached).is_empty() {
            return Ok(None);
        }
        let holds = |first| cached.hold(&self.db, first);
        let created = self
            .insert_with(jobs, cached, Taken::Fail, Some(&holds))
            .await?;
        Ok(created.iter().all(Option::is_some).then_some(created))
    }

    /// Remembers the pipes that new jobs use.
    async fn note_pipes(&self, jobs: &[NewJob]) -> Result<(), StoreError> {
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
        self.pipes().admit(pipes.chain(results.clone())).await?;
        self.pipes().note_results(results).await?;
        self.pipes()
            .note(uses.map(|job| (&job.name.partition, job.spec.pipe().as_str())))
            .await
    }

    /// Inserts jobs that take over these defaults; see [`Self::insert`].
    async fn insert_with(
        &self,
        jobs: &[NewJob],
        defaults: &Defaults,
        taken: Taken,
        condition: Option<Condition<'_>>,
    ) -> Result<Vec<Option<Created>>, StoreError> {
        let db = &self.db;
        let epoch = defaults.epoch()?;
        let limited = db.limited(db.work_reader()).await?;
        let mut rows = Vec::with_capacity(jobs.len());
        let mut labels = Vec::new();
        let mut slices = Vec::with_capacity(jobs.len());
        for job in jobs {
            let of_partition = defaults.of(job.name.partition.as_str());
            let mut slice = self.slice_of(job, &of_partition, &limited, epoch).await;
            if of_partition.suspended {
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
        let quotas = Quotas::of(jobs, defaults);
        let inserted = if waiting.is_empty() && quotas.is_empty() {
            insert_jobs(db, (&JOB, rows), parts, taken, condition).await?
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
            // Each caller publishes the messages of its own job.
            let committed = Committed {
                outbox: all
                    .outbox
                    .extract_if(.., |message| message.uid == uid)
                    .collect(),
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

    /// A key above those of all jobs that were created before this millisecond, and below those
    /// that come after it.
    pub fn key_now(&self) -> i64 {
        key_of(self.db.now() / 1000 * 1000, 0)
    }

    /// Times of creation for jobs that are created together, in this order: jobs are listed by
    /// them.
    pub fn creation_times(&self, count: usize) -> impl Iterator<Item = Micros> + use<> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let first = self.creates.times(self.db.now(), count);
        first..first + count
    }

    /// The time of creation for one job.
    pub(crate) fn creation_time(&self) -> Micros {
        self.creates.times(self.db.now(), 1)
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
            Work::Batch(_) => self.pipes().first_allowance(job.spec.pipe().as_str()).await,
        };
        let now = match job.created {
            Some(created) => created,
            None => self.creation_time(),
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
}

fn requested(job: &NewJob) -> Vec<PrerequisiteView> {
    let view = |needed: &Prerequisite| PrerequisiteView {
        job: needed.job.clone(),
        optional: needed.optional,
        state: PrerequisiteState::Open,
    };
    job.spec.prerequisites.iter().map(view).collect()
}
