//! Jobs of schedules, made when their time comes. A look claims its schedule, makes jobs whose ids are made of their times, and moves
//! the schedule on; one that dies in between is repeated, and finds the jobs that it made.

use headway_domain::{
    Error, JobId, JobName, JobState, Micros,
    error::Action,
    event::Caller,
    schedule::{LABEL, Overlap, ScheduleName, is_open},
    start::{OnPrerequisiteFailure, Prerequisite},
};
use sea_orm::FromQueryResult;

use super::{
    create::{Created, NewJob},
    schedules::{ScheduleRow, ScheduleView, keyed},
};
use crate::{
    Committed, Store,
    error::StoreError,
    rows::{job::state_of, optional},
};

/// Schedules looked at in one round.
const LOOKS: i64 = 50;
/// How long a look may take before another process repeats it, in microseconds.
const CLAIM: Micros = 30_000_000;
/// How long a time waits until it is tried again, while its partition has what its quotas allow.
const ROOM: Micros = 1_000_000;

/// What a round of looks did.
#[derive(Debug, Default)]
pub struct Fired {
    /// Jobs that were made, each to be published.
    pub created: Vec<Created>,
    /// What cancelling earlier jobs caused.
    pub committed: Committed,
    /// Whether there may be more.
    pub more: bool,
}

#[derive(Debug, FromQueryResult)]
struct StateRow {
    state: i64,
}

impl Store {
    /// Makes a job of a schedule now, whatever its times and other jobs are.
    pub async fn run_schedule(
        &self,
        name: &ScheduleName,
        caller: &Caller,
    ) -> Result<Created, StoreError> {
        let view = self.schedule(name).await?;
        let now = self.db.now();
        let created = self.create_job(new_job(&view, now, caller, None)?).await?;
        let sql = "UPDATE schedule SET last_due = $3, last_job = $4, made = made + 1 WHERE partition_id = $1 AND schedule_id = $2";
        let mut values = keyed(name);
        let job = created.view.job.meta.name.job.as_str();
        values.extend([now.into(), job.into()]);
        self.db.run_alone(sql, values).await?;
        Ok(created)
    }

    /// When the next schedule is due of which no process has the look; it may be in the past.
    pub async fn next_schedule_due(&self) -> Result<Option<Micros>, StoreError> {
        let sql = "SELECT COALESCE(min(next_due), 0) AS value FROM schedule WHERE next_due > 0 AND claimed <= $1";
        let now = self.db.now();
        let next = self.db.one_int(self.db.reader(), sql, [now.into()]).await?;
        Ok(optional(next.unwrap_or(0)))
    }

    /// Looks at schedules whose time has come.
    pub async fn fire_schedules(&self) -> Result<Fired, StoreError> {
        let db = &self.db;
        let now = db.now();
        let sql = "SELECT * FROM schedule WHERE next_due > 0 AND next_due <= $1 AND claimed <= $1 ORDER BY next_due LIMIT $2";
        let due: Vec<ScheduleRow> = db.all(db.reader(), sql, [now.into(), LOOKS.into()]).await?;
        let mut fired = Fired {
            more: due.len() as i64 == LOOKS,
            ..Fired::default()
        };
        for row in due {
            let view = ScheduleView::try_from(row)?;
            if self.claim(&view, now).await? {
                self.look(&view, now, &mut fired).await?;
            }
        }
        Ok(fired)
    }

    /// Whether this process has the look.
    async fn claim(&self, view: &ScheduleView, now: Micros) -> Result<bool, StoreError> {
        let sql = "UPDATE schedule SET claimed = $3 WHERE partition_id = $1 AND schedule_id = $2 AND next_due = $4 AND claimed <= $5";
        let mut values = keyed(&view.name);
        values.extend([
            (now + CLAIM).into(),
            view.next.unwrap_or(0).into(),
            now.into(),
        ]);
        Ok(self.db.run_alone(sql, values).await? > 0)
    }

    async fn look(
        &self,
        view: &ScheduleView,
        now: Micros,
        fired: &mut Fired,
    ) -> Result<(), StoreError> {
        let due = view.schedule.due(view.next.unwrap_or(now), now);
        let (mut last, mut last_job) = (view.last.unwrap_or(0), view.last_job.clone());
        let (mut made, mut skipped) = (0, due.missed);
        let (mut next, mut again) = (due.next.unwrap_or(0), 0);
        for time in due.times {
            let before = self.open_job(view, &last_job).await?;
            let after = match (before, view.schedule.overlap) {
                (None, _) => None,
                // One that waits is enough.
                (Some(_), Overlap::Skip) | (Some((_, JobState::Waiting)), Overlap::Queue) => {
                    skipped += 1;
                    continue;
                }
                (Some((before, _)), Overlap::Queue) => Some(before.job),
                (Some((before, _)), Overlap::CancelPrevious) => {
                    fired.committed.merge(self.cancel_previous(&before).await?);
                    None
                }
            };
            let caller = Caller {
                user: view.creator.clone(),
                correlation: view.name.schedule.to_string(),
            };
            match self.create_job(new_job(view, time, &caller, after)?).await {
                Ok(created) => {
                    (last, last_job) = (time, created.view.job.meta.name.job.to_string());
                    made += u64::from(!created.existed);
                    fired.created.push(created);
                }
                // There may be room before the time is too late.
                Err(StoreError::Domain(Error::QuotaExceeded { .. })) => {
                    (next, again) = (time, now + ROOM);
                    break;
                }
                // A look that a crash cut short made it.
                Err(StoreError::Domain(Error::JobExists(name)))
                    if self.is_of_schedule(&name, view).await? =>
                {
                    (last, last_job) = (time, name.job.to_string());
                    made += 1;
                }
                // A client has a job of its own under this id.
                Err(StoreError::Domain(error)) => {
                    tracing::warn!(schedule = %view.name, %error, "a time of a schedule is passed over");
                    skipped += 1;
                }
                Err(error) => return Err(error),
            }
        }
        // Where it was changed meanwhile, the next look is where that said.
        let sql = "UPDATE schedule SET next_due = CASE WHEN next_due = $8 THEN $3 ELSE next_due END, \
                   claimed = CASE WHEN next_due = $8 THEN $9 ELSE claimed END, \
                   last_due = $4, last_job = $5, made = made + $6, skipped = skipped + $7 \
                   WHERE partition_id = $1 AND schedule_id = $2 AND created = $10";
        let mut values = keyed(&view.name);
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        values.extend([
            next.into(),
            last.into(),
            last_job.into(),
            count(made).into(),
            count(skipped).into(),
            view.next.unwrap_or(0).into(),
            again.into(),
            view.created.into(),
        ]);
        self.db.run_alone(sql, values).await?;
        Ok(())
    }

    /// Whether a job was made by this schedule.
    async fn is_of_schedule(&self, job: &JobName, view: &ScheduleView) -> Result<bool, StoreError> {
        let labels = match self.job(job).await {
            Ok(view) => view.job.meta.spec.labels.clone(),
            Err(StoreError::Domain(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(labels.get(LABEL).map(String::as_str) == Some(view.name.schedule.as_str()))
    }

    /// The last job, if it has not ended.
    async fn open_job(
        &self,
        view: &ScheduleView,
        id: &str,
    ) -> Result<Option<(JobName, JobState)>, StoreError> {
        if id.is_empty() {
            return Ok(None);
        }
        let name = JobName {
            partition: view.name.partition.clone(),
            job: JobId::new(id)?,
        };
        let sql = "SELECT p.state FROM job j JOIN job_progress p ON p.job_key = j.job_key WHERE j.partition_id = $1 AND j.job_id = $2";
        let values = [name.partition.as_str().into(), id.into()];
        let row: Option<StateRow> = self.db.one(self.db.reader(), sql, values).await?;
        let state: Option<JobState> = row.map(|row| state_of(row.state)).transpose()?;
        Ok(state
            .filter(|state| is_open(*state))
            .map(|state| (name, state)))
    }

    async fn cancel_previous(&self, name: &JobName) -> Result<Committed, StoreError> {
        let caller = Caller {
            user: "headway".to_owned(),
            correlation: String::new(),
        };
        match self.control_job(name, Action::Cancel, &caller).await {
            Ok(controlled) => Ok(controlled.committed),
            // It ended, or was deleted, at this moment.
            Err(StoreError::Domain(_)) => Ok(Committed::default()),
            Err(error) => Err(error),
        }
    }
}

fn new_job(
    view: &ScheduleView,
    time: Micros,
    caller: &Caller,
    after: Option<JobId>,
) -> Result<NewJob, StoreError> {
    let mut spec = view.schedule.job.clone();
    let id = view.name.schedule.to_string();
    spec.labels.insert(LABEL.to_owned(), id);
    if let Some(job) = after {
        spec.prerequisites = vec![Prerequisite {
            job,
            optional: true,
        }];
        spec.on_prerequisite_failure = OnPrerequisiteFailure::RunAnyway;
    }
    Ok(NewJob {
        name: JobName {
            partition: view.name.partition.clone(),
            job: view.name.job(time)?,
        },
        spec,
        request_id: String::new(),
        creator: caller.user.clone(),
        correlation: caller.correlation.clone(),
    })
}
