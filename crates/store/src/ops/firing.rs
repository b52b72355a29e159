//! Jobs of schedules, made when their time comes. A look claims its schedule, makes jobs whose ids are made of their times, and moves
//! the schedule on; one that dies in between is repeated, and finds the jobs that it made.

use std::collections::BTreeSet;

use headway_domain::{
    Error, JobId, JobName, JobState, Micros,
    error::Action,
    event::Caller,
    schedule::{LABEL, Overlap, ScheduleName, is_open},
    start::{OnPrerequisiteFailure, Prerequisite},
    timetable::Timetable,
};
use sea_orm::FromQueryResult;

use super::{
    create::{Created, NewJob},
    schedules::{COLUMNS, ScheduleRow, ScheduleView, keyed},
    unreadable::Source,
};
use crate::{
    Committed, Store,
    db::keys,
    error::StoreError,
    rows::{job::state_of, optional},
};

/// Schedules looked at in one round.
const LOOKS: i64 = 50;
/// How long a look may take before another process repeats it, in microseconds.
const CLAIM: Micros = 30_000_000;
/// The newest jobs of a schedule that are looked at to find those that have not ended.
const NEWEST: i64 = 1000;
/// Microseconds that a job that is asked for now may be put forward, so that it has an id of its own.
const RUNS: i64 = 100;
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
struct OpenRow {
    job_id: String,
    state: i64,
}

#[derive(Debug, FromQueryResult)]
struct MadeRow {
    job_id: String,
}

#[derive(Debug, FromQueryResult)]
struct TimesRow {
    partition_id: String,
    schedule_id: String,
    cron: String,
    time_zone: String,
    next_due: i64,
}

impl Store {
    /// Makes a job of a schedule now, whatever its times and other jobs are: each call makes another one.
    pub async fn run_schedule(
        &self,
        name: &ScheduleName,
        caller: &Caller,
    ) -> Result<Created, StoreError> {
        let view = self.schedule(name).await?;
        let mut tries = 0;
        let (now, created) = loop {
            let now = self.db.now() + tries;
            let job = new_job(&view, name.job_now(now)?, caller, Vec::new());
            match self.create_job(job).await {
                Ok(created) if !created.existed => break (now, created),
                // Another call had the same microsecond.
                Ok(_) | Err(StoreError::Domain(Error::JobExists(_))) if tries < RUNS => tries += 1,
                Ok(created) => break (now, created),
                Err(error) => return Err(error),
            }
        };
        let sql = "UPDATE schedule SET last_due = $3, last_job = $4, made = made + 1 WHERE partition_id = $1 AND schedule_id = $2";
        let mut values = keyed(name);
        let job = created.view.job.meta.name.job.as_str();
        values.extend([now.into(), job.into()]);
        if let Err(error) = self.db.run_alone(sql, values).await {
            // A caller that is told of an error would ask for another job.
            tracing::warn!(schedule = %name, %error, "cannot record the newest job of a schedule; the job runs nevertheless");
        }
        Ok(created)
    }

    /// When the next schedule is due of which no process has the look; it may be in the past.
    pub async fn next_schedule_due(&self) -> Result<Option<Micros>, StoreError> {
        let sql = format!(
            "SELECT COALESCE(min(next_due), 0) AS value FROM schedule WHERE next_due > 0 AND claimed <= $1 AND {}",
            self.readable_schedules(1)
        );
        let now = self.db.now();
        let next = self
            .db
            .one_int(self.db.work_reader(), sql, [now.into()])
            .await?;
        Ok(optional(next.unwrap_or(0)))
    }

    /// Looks at schedules whose time has come. One that cannot be read is set aside.
    pub async fn fire_schedules(&self) -> Result<Fired, StoreError> {
        let db = &self.db;
        let now = db.now();
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule WHERE next_due > 0 AND next_due <= $1 AND claimed <= $1 AND {} ORDER BY next_due LIMIT $2",
            self.readable_schedules(1)
        );
        let due: Vec<ScheduleRow> = db
            .all(db.work_reader(), sql, [now.into(), LOOKS.into()])
            .await?;
        let mut fired = Fired {
            more: due.len() as i64 == LOOKS,
            ..Fired::default()
        };
        for row in due {
            let key = row.aside_key();
            match self.fire_schedule(row, now, &mut fired).await {
                Err(error) if !error.is_passing() => {
                    self.set_aside(Source::Schedule, &key, &error).await?;
                }
                looked => looked?,
            }
        }
        Ok(fired)
    }

    fn readable_schedules(&self, now: usize) -> String {
        let key = "(partition_id || '/' || schedule_id)";
        self.db.not_set_aside(Source::Schedule, key, now)
    }

    async fn fire_schedule(
        &self,
        row: ScheduleRow,
        now: Micros,
        fired: &mut Fired,
    ) -> Result<(), StoreError> {
        let view = ScheduleView::try_from(row)?;
        match self.claim(&view, now).await? {
            true => self.look(&view, now, fired).await,
            false => Ok(()),
        }
    }

    /// Moves schedules whose next time is later than their pattern says back to it: their time was found while the clock was ahead.
    /// How many.
    pub async fn realign_schedules(&self) -> Result<u64, StoreError> {
        let db = &self.db;
        let now = db.now();
        let sql = "SELECT partition_id, schedule_id, cron, time_zone, next_due FROM schedule WHERE next_due > $1";
        let ahead: Vec<TimesRow> = db.all(db.work_reader(), sql, [now.into()]).await?;
        let mut moved = 0;
        for row in ahead {
            // One that cannot be read is shown when its time comes, and in lists.
            let Ok(timetable) = Timetable::stored(&row.cron, &row.time_zone) else {
                continue;
            };
            let next = timetable.next_after(now).unwrap_or(0);
            if next == 0 || next >= row.next_due {
                continue;
            }
            let sql = "UPDATE schedule SET next_due = $3, claimed = 0 WHERE partition_id = $1 AND schedule_id = $2 AND next_due = $4";
            let values = [
                row.partition_id.into(),
                row.schedule_id.into(),
                next.into(),
                row.next_due.into(),
            ];
            moved += db.run_alone(sql, values).await?;
        }
        Ok(moved)
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
        let before = self.jobs_made(view, &due.times).await?;
        for time in due.times {
            let name = view.name.job(time)?;
            // A look that was cut short made it. It must not count as an earlier job that has not ended.
            if before.contains(name.as_str()) {
                (last, last_job) = (time, name.to_string());
                made += 1;
                continue;
            }
            let open = self.open_jobs(view).await?;
            let waits = open.iter().any(|(_, state)| *state == JobState::Waiting);
            let after = match view.schedule.overlap {
                _ if open.is_empty() => Vec::new(),
                Overlap::Allow => Vec::new(),
                // One that waits is enough.
                Overlap::Queue if !waits => open.into_iter().map(|(name, _)| name.job).collect(),
                Overlap::Skip | Overlap::Queue => {
                    skipped += 1;
                    continue;
                }
                Overlap::CancelPrevious => {
                    for (before, _) in &open {
                        fired.committed.merge(self.cancel_previous(before).await?);
                    }
                    Vec::new()
                }
            };
            let caller = Caller {
                user: view.creator.clone(),
                correlation: view.name.schedule.to_string(),
            };
            let job = new_job(view, name, &caller, after);
            match self.create_job(job).await {
                Ok(created) => {
                    (last, last_job) = (time, created.view.job.meta.name.job.to_string());
                    made += 1;
                    fired.created.push(created);
                }
                // There may be room before the time is too late.
                Err(StoreError::Domain(
                    Error::QuotaExceeded { .. } | Error::TooManyPipes { .. },
                )) => {
                    (next, again) = (time, now + ROOM);
                    break;
                }
                // Another look made it meanwhile.
                Err(StoreError::Domain(Error::JobExists(name)))
                    if self.is_of_schedule(&name, view).await? =>
                {
                    (last, last_job) = (time, name.job.to_string());
                    made += 1;
                }
                // A client has a job of its own under this id.
                Err(StoreError::Domain(error)) => {
                    tracing::warn!(schedule = %view.name, %error, "cannot create the job of a schedule; skipping this time");
                    skipped += 1;
                }
                Err(error) => return Err(error),
            }
        }
        // Where it was changed meanwhile, the next look is where that said. Jobs that another look made and counted meanwhile are
        // not counted twice.
        let sql = "UPDATE schedule SET next_due = CASE WHEN next_due = $8 THEN $3 ELSE next_due END, \
                   claimed = CASE WHEN next_due = $8 THEN $9 ELSE claimed END, \
                   last_due = $4, last_job = $5, \
                   made = made + CASE WHEN next_due = $8 OR last_due < $4 THEN $6 ELSE 0 END, skipped = skipped + $7 \
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

    /// The ids of the jobs that this schedule has for some of its times.
    async fn jobs_made(
        &self,
        view: &ScheduleView,
        times: &[Micros],
    ) -> Result<BTreeSet<String>, StoreError> {
        let ids = times.iter().map(|time| view.name.job(*time));
        let ids: Vec<String> = ids
            .map(|id| Ok(id?.to_string()))
            .collect::<Result<_, StoreError>>()?;
        let sql = format!(
            "SELECT j.job_id FROM job j JOIN label l ON l.job_key = j.job_key AND l.name = $3 AND l.value = $2 \
             WHERE j.partition_id = $1 AND j.job_id IN ({}) AND j.created >= $5",
            self.db.texts(4)
        );
        let mut values = keyed(&view.name);
        values.extend([LABEL.into(), keys::texts(&ids), view.created.into()]);
        let rows: Vec<MadeRow> = self.db.all(self.db.work_reader(), sql, values).await?;
        Ok(rows.into_iter().map(|row| row.job_id).collect())
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

    /// The jobs of a schedule that have not ended, of the newest ones: those that were asked for now, and those that were retried, too.
    async fn open_jobs(&self, view: &ScheduleView) -> Result<Vec<(JobName, JobState)>, StoreError> {
        let sql = "SELECT j.job_id, p.state FROM (SELECT job_key FROM label WHERE partition_id = $1 AND name = $3 AND value = $2 \
                     ORDER BY job_key DESC LIMIT $4) k \
                   JOIN job_progress p ON p.job_key = k.job_key JOIN job j ON j.job_key = k.job_key \
                   WHERE p.ended = 0 AND j.created >= $5 ORDER BY k.job_key";
        let mut values = keyed(&view.name);
        values.extend([LABEL.into(), NEWEST.into(), view.created.into()]);
        let rows: Vec<OpenRow> = self.db.all(self.db.work_reader(), sql, values).await?;
        let mut open = Vec::with_capacity(rows.len());
        for row in rows {
            let name = JobName {
                partition: view.name.partition.clone(),
                job: JobId::new(row.job_id)?,
            };
            open.push((name, state_of(row.state)?));
        }
        open.retain(|(_, state)| is_open(*state));
        Ok(open)
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

/// A job of a schedule, which waits for these jobs to end in any way.
fn new_job(view: &ScheduleView, job: JobId, caller: &Caller, after: Vec<JobId>) -> NewJob {
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
