//! The jobs of a schedule.

use std::collections::BTreeSet;

use headway_domain::{
    Error, JobId, JobName, JobState, Micros,
    events::Caller,
    prerequisites::{OnPrerequisiteFailure, Prerequisite},
    schedules::{LABEL, ScheduleName, is_open},
};
use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, QueryFilter,
    sea_query::{Expr, ExprTrait},
};

use crate::{
    db::keys,
    error::StoreError,
    ground::{codes::Code, committed::Committed},
    jobs::create::new_job::{Created, NewJob},
    schedules::{
        Schedules,
        entity::{Column, Entity},
        row::{is_named, keyed},
        view::ScheduleView,
    },
};

/// How often a job that is asked for now takes another time, so that it has an id of its own.
const MAX_RUN_TRIES: u32 = 100;

impl Schedules<'_> {
    /// Makes a job of a schedule now, whatever its times and other jobs are: each call makes
    /// another one, unless it has the request id of an earlier call.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`] if the request id stands for a job of anything else.
    pub async fn run(
        self,
        name: &ScheduleName,
        request_id: &str,
        caller: &Caller,
    ) -> Result<Created, StoreError> {
        let view = self.get(name).await?;
        if let Some(created) = self.run_before(&view, request_id).await? {
            return Ok(created);
        }
        let mut tries = 0;
        let created = loop {
            let now = self.store.creation_time();
            let job = NewJob {
                request_id: request_id.to_owned(),
                created: Some(now),
                ..new_job(&view, name.job_now(now)?, caller, Vec::new())
            };
            match self.store.create_job(job).await {
                Ok(created) if !created.existed => break created,
                // Another call had the same microsecond, or the same request id.
                other @ (Ok(_)
                | Err(StoreError::Domain(
                    Error::JobExists(_) | Error::RequestIdReused(_),
                ))) => {
                    if let Some(created) = self.run_before(&view, request_id).await? {
                        return Ok(created);
                    }
                    if tries == MAX_RUN_TRIES {
                        break other?;
                    }
                }
                Err(error) => return Err(error),
            }
            tries += 1;
        };
        self.count_run(name, &created).await;
        Ok(created)
    }
}

impl Schedules<'_> {
    /// Notes a job that was asked for as the newest of its schedule, once. A call whose answer was
    /// lost may not have come so far: the next one with its request id does it, unless a later job
    /// was noted since.
    async fn count_run(self, name: &ScheduleName, created: &Created) {
        let db = &self.store.db;
        let meta = &created.view.job.meta;
        let job = meta.name.job.as_str();
        let mut update = Entity::update_many()
            .col_expr(Column::LastDue, Expr::value(meta.created))
            .col_expr(Column::LastJob, Expr::value(job))
            .col_expr(Column::Made, ExprTrait::add(Expr::col(Column::Made), 1_i64))
            .filter(is_named(name))
            .filter(Column::LastJob.ne(job));
        if created.existed {
            // Not on a schedule that was created again since.
            update = update
                .filter(Column::LastDue.lt(meta.created))
                .filter(Column::Created.lte(meta.created));
        }
        let (sql, values) = db.built(&update);
        if let Err(error) = db.run_alone(sql, values).await {
            // A caller that gets an error would ask for another job.
            tracing::warn!(schedule = %name, %error, "cannot record the newest job of a schedule; the job runs nevertheless");
        }
    }

    /// The job that an earlier call with the same request id made.
    async fn run_before(
        self,
        view: &ScheduleView,
        request_id: &str,
    ) -> Result<Option<Created>, StoreError> {
        if request_id.is_empty() {
            return Ok(None);
        }
        let partition = &view.name.partition;
        let Some(found) = self.store.job_of_request(partition, request_id).await? else {
            return Ok(None);
        };
        // Not by its spec: the schedule, or the job, may have been changed since. And not by its id
        // alone, which clients choose: they do not choose the microsecond of the creation.
        let meta = &found.job.meta;
        match view.name.job_now(meta.created)? == meta.name.job {
            true => {
                let created = Created {
                    view: found,
                    existed: true,
                    committed: Committed::default(),
                };
                self.count_run(&view.name, &created).await;
                Ok(Some(created))
            }
            false => Err(Error::RequestIdReused(found.job.meta.name.clone()).into()),
        }
    }
}

/// A job of a schedule, which waits for these jobs to end in any way.
pub(crate) fn new_job(
    view: &ScheduleView,
    job: JobId,
    caller: &Caller,
    after: Vec<JobId>,
) -> NewJob {
    let mut spec = view.schedule.job.clone();
    let id = view.name.schedule.to_string();
    spec.labels.insert(LABEL.to_owned(), id);
    if !after.is_empty() {
        let needed = |job| Prerequisite {
            job,
            optional: true,
        };
        spec.prerequisites = after.into_iter().map(needed).collect();
        spec.on_prerequisite_failure = OnPrerequisiteFailure::RunAnyway;
    }
    NewJob {
        name: JobName {
            partition: view.name.partition.clone(),
            job,
        },
        spec,
        request_id: String::new(),
        creator: caller.user.clone(),
        correlation: caller.correlation.clone(),
        created: None,
    }
}

/// The newest jobs of a schedule that are looked at to find those that have not ended.
const MAX_JOBS_SCANNED: i64 = 1000;

#[derive(Debug, FromQueryResult)]
struct OpenRow {
    job_id: String,
    state: i64,
}

#[derive(Debug, FromQueryResult)]
struct MadeRow {
    job_id: String,
}

impl Schedules<'_> {
    /// The ids of the jobs that this schedule has for some of its times.
    pub(crate) async fn jobs_made(
        self,
        view: &ScheduleView,
        times: &[Micros],
    ) -> Result<BTreeSet<String>, StoreError> {
        let db = &self.store.db;
        let ids = times.iter().map(|time| view.name.job(*time));
        let ids: Vec<String> = ids
            .map(|id| Ok(id?.to_string()))
            .collect::<Result<_, StoreError>>()?;
        let sql = format!(
            "SELECT j.job_id FROM job j JOIN label l ON l.job_key = j.job_key AND l.name = $3 AND l.value = $2 \
             WHERE j.partition_id = $1 AND j.job_id IN ({}) AND j.created >= $5",
            db.texts(4)
        );
        let mut values = keyed(&view.name);
        values.extend([LABEL.into(), keys::texts(&ids), view.created.into()]);
        let rows: Vec<MadeRow> = db.all(db.work_reader(), sql, values).await?;
        Ok(rows.into_iter().map(|row| row.job_id).collect())
    }

    /// Whether a job was made by this schedule.
    pub(crate) async fn has_made(
        self,
        job: &JobName,
        view: &ScheduleView,
    ) -> Result<bool, StoreError> {
        let labels = match self.store.job(job).await {
            Ok(view) => view.job.meta.spec.labels.clone(),
            Err(StoreError::Domain(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(labels.get(LABEL).map(String::as_str) == Some(view.name.schedule.as_str()))
    }

    /// The jobs of a schedule that have not ended, of the newest ones: those that were asked for
    /// now, and those that were retried, too.
    pub(crate) async fn open_jobs(
        self,
        view: &ScheduleView,
    ) -> Result<Vec<(JobName, JobState)>, StoreError> {
        let db = &self.store.db;
        let sql = "SELECT j.job_id, p.state FROM (SELECT job_key FROM label WHERE partition_id = $1 AND name = $3 AND value = $2 \
                     ORDER BY job_key DESC LIMIT $4) k \
                   JOIN job_progress p ON p.job_key = k.job_key JOIN job j ON j.job_key = k.job_key \
                   WHERE p.ended = 0 AND j.created >= $5 ORDER BY k.job_key";
        let mut values = keyed(&view.name);
        values.extend([LABEL.into(), MAX_JOBS_SCANNED.into(), view.created.into()]);
        let rows: Vec<OpenRow> = db.all(db.work_reader(), sql, values).await?;
        let mut open = Vec::with_capacity(rows.len());
        for row in rows {
            let name = JobName {
                partition: view.name.partition.clone(),
                job: JobId::new(row.job_id)?,
            };
            open.push((name, JobState::of(row.state)?));
        }
        open.retain(|(_, state)| is_open(*state));
        Ok(open)
    }
}
