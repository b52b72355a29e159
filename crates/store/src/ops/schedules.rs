//! Schedules: kept, changed and listed. [`super::firing`] makes their jobs.

use headway_domain::{
    Error, JobId, Micros, PartitionId,
    etag::etag,
    event::{Caller, EventKind},
    schedule::{Overlap, Schedule, ScheduleName},
    spec::JobSpec,
    timetable::Timetable,
};
use sea_orm::{FromQueryResult, Value};

use super::changes::Change;
use crate::{
    Store,
    db::{Db, Durability, Tx},
    error::StoreError,
    rows::{optional, unsigned},
};

/// A schedule and where it stands.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    /// Its name.
    pub name: ScheduleName,
    /// What it is to do; the job's body included.
    pub schedule: Schedule,
    /// Who created it.
    pub creator: String,
    /// When.
    pub created: Micros,
    /// Whether no jobs are made until it is resumed.
    pub paused: bool,
    /// The next time; none if it is paused or names no more.
    pub next: Option<Micros>,
    /// The last time that a job was made for.
    pub last: Option<Micros>,
    /// The id of that job; empty for none.
    pub last_job: String,
    /// Jobs made.
    pub made: u64,
    /// Times passed over: because a job had not ended, or because they were missed.
    pub skipped: u64,
    /// Identifies what it is to do, and who said so.
    pub etag: String,
}

/// A schedule that this version cannot read, as far as it can be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableSchedule {
    /// Its partition.
    pub partition: String,
    /// Its id.
    pub schedule: String,
    /// Its pattern, as it is stored.
    pub cron: String,
    /// Its time zone, as it is stored.
    pub time_zone: String,
    /// Who created it.
    pub creator: String,
    /// When.
    pub created: Micros,
    /// As in [`ScheduleView`].
    pub etag: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// A schedule as lists show it.
#[derive(Debug, Clone)]
pub enum ListedSchedule {
    /// One that can be read.
    Readable(Box<ScheduleView>),
    /// One that cannot; the others are listed beside it.
    Unreadable(UnreadableSchedule),
}

/// Some schedules and where the next ones begin.
#[derive(Debug, Clone)]
pub struct SchedulePage {
    /// By id.
    pub schedules: Vec<ListedSchedule>,
    /// The id to continue above, if there may be more.
    pub next: Option<String>,
}

#[derive(Debug, FromQueryResult)]
pub(super) struct ScheduleRow {
    partition_id: String,
    schedule_id: String,
    cron: String,
    time_zone: String,
    overlap: i64,
    catch_up: i64,
    spec: String,
    body: Vec<u8>,
    creator: String,
    created: i64,
    paused: i64,
    next_due: i64,
    last_due: i64,
    last_job: String,
    made: i64,
    skipped: i64,
}

/// The columns of [`ScheduleRow`].
pub(super) const COLUMNS: &str = "partition_id, schedule_id, cron, time_zone, overlap, catch_up, spec, body, creator, created, \
     paused, next_due, last_due, last_job, made, skipped";

fn overlap_code(overlap: Overlap) -> i64 {
    match overlap {
        Overlap::Skip => 0,
        Overlap::Queue => 1,
        Overlap::CancelPrevious => 2,
        Overlap::Allow => 3,
    }
}

impl ScheduleRow {
    /// The key under which it is set aside.
    pub(super) fn aside_key(&self) -> String {
        format!("{}/{}", self.partition_id, self.schedule_id)
    }

    /// Of what UpdateSchedule changes, as it is stored.
    fn etag(&self) -> String {
        let numbers = [self.overlap, self.catch_up].map(i64::to_be_bytes);
        etag([
            self.cron.as_bytes(),
            self.time_zone.as_bytes(),
            &numbers[0],
            &numbers[1],
            self.spec.as_bytes(),
            &self.body,
            self.creator.as_bytes(),
        ])
    }

    fn listed(self) -> Result<ListedSchedule, StoreError> {
        let mut unreadable = UnreadableSchedule {
            partition: self.partition_id.clone(),
            schedule: self.schedule_id.clone(),
            cron: self.cron.clone(),
            time_zone: self.time_zone.clone(),
            creator: self.creator.clone(),
            created: self.created,
            etag: self.etag(),
            reason: String::new(),
        };
        match ScheduleView::try_from(self) {
            Ok(view) => Ok(ListedSchedule::Readable(Box::new(view))),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                unreadable.reason = error.to_string();
                Ok(ListedSchedule::Unreadable(unreadable))
            }
        }
    }
}

impl TryFrom<ScheduleRow> for ScheduleView {
    type Error = StoreError;

    fn try_from(row: ScheduleRow) -> Result<Self, StoreError> {
        let broken =
            |what: &str| StoreError::Broken(format!("schedule {}: {what}", row.schedule_id));
        let etag = row.etag();
        let mut job: JobSpec =
            serde_json::from_str(&row.spec).map_err(|error| broken(&error.to_string()))?;
        job.set_body(row.body);
        let timetable = Timetable::stored(&row.cron, &row.time_zone)
            .map_err(|error| broken(&error.to_string()))?;
        Ok(Self {
            schedule: Schedule {
                timetable,
                overlap: match row.overlap {
                    0 => Overlap::Skip,
                    1 => Overlap::Queue,
                    2 => Overlap::CancelPrevious,
                    3 => Overlap::Allow,
                    code => return Err(broken(&format!("overlap policy {code} is unknown"))),
                },
                catch_up_ms: unsigned(row.catch_up)?,
                job,
            },
            name: ScheduleName {
                partition: PartitionId::new(row.partition_id)?,
                schedule: JobId::new(row.schedule_id)?,
            },
            creator: row.creator,
            created: row.created,
            paused: row.paused != 0,
            next: optional(row.next_due),
            last: optional(row.last_due),
            last_job: row.last_job,
            made: unsigned(row.made)?,
            skipped: unsigned(row.skipped)?,
            etag,
        })
    }
}

impl Store {
    /// Keeps a schedule, durably.
    ///
    /// # Errors
    /// [`Error::ScheduleExists`] if the id is taken.
    pub async fn create_schedule(
        &self,
        name: &ScheduleName,
        schedule: &Schedule,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let db = &self.db;
        let now = db.now();
        let next = schedule.timetable.next_after(now);
        let sql = "INSERT INTO schedule (partition_id, schedule_id, cron, time_zone, overlap, catch_up, spec, body, creator, created, \
                   paused, next_due, claimed, last_due, last_job, made, skipped) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, 0, 0, '', 0, 0) ON CONFLICT DO NOTHING";
        let mut values = written(name, schedule)?;
        values.extend([
            caller.user.as_str().into(),
            now.into(),
            next.unwrap_or(0).into(),
        ]);
        let tx = db.write(Durability::Full).await?;
        if db.run(&*tx, sql, values).await? == 0 {
            return Err(Error::ScheduleExists(name.to_string()).into());
        }
        let change = Change::of_schedule(EventKind::ScheduleCreated, name);
        db.record(&tx, change, caller).await?;
        tx.commit().await?;
        self.schedule(name).await
    }

    /// Changes what a schedule is to do, durably; where it stands is kept. The caller is the author of its jobs from then on.
    pub async fn update_schedule(
        &self,
        name: &ScheduleName,
        schedule: &Schedule,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let next = schedule.timetable.next_after(self.db.now()).unwrap_or(0);
        let sql = "UPDATE schedule SET cron = $3, time_zone = $4, overlap = $5, catch_up = $6, spec = $7, body = $8, \
                   next_due = CASE WHEN paused = 1 THEN 0 ELSE $9 END, claimed = 0, creator = $10 WHERE partition_id = $1 AND schedule_id = $2";
        let mut values = written(name, schedule)?;
        values.extend([next.into(), caller.user.as_str().into()]);
        let change = Change::of_schedule(EventKind::ScheduleUpdated, name);
        self.change((name, etag), sql, values, change, caller).await
    }

    /// Stops making jobs, or goes on with the next time from now, durably.
    pub async fn pause_schedule(
        &self,
        name: &ScheduleName,
        paused: bool,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let view = self.schedule(name).await?;
        if view.paused == paused {
            return Ok(view);
        }
        let next = view.schedule.timetable.next_after(self.db.now());
        let next = next.filter(|_| !paused).unwrap_or(0);
        let sql = "UPDATE schedule SET paused = $3, next_due = $4, claimed = 0 WHERE partition_id = $1 AND schedule_id = $2";
        let mut values = keyed(name);
        values.extend([i64::from(paused).into(), next.into()]);
        let kind = match paused {
            true => EventKind::SchedulePaused,
            false => EventKind::ScheduleResumed,
        };
        let change = Change::of_schedule(kind, name);
        self.change((name, None), sql, values, change, caller).await
    }

    /// Removes a schedule, durably; its jobs stay.
    pub async fn delete_schedule(
        &self,
        name: &ScheduleName,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        db.check_schedule_etag(&tx, name, etag).await?;
        let sql = "DELETE FROM schedule WHERE partition_id = $1 AND schedule_id = $2";
        if db.run(&*tx, sql, keyed(name)).await? == 0 {
            return Err(Error::ScheduleNotFound(name.to_string()).into());
        }
        let change = Change::of_schedule(EventKind::ScheduleDeleted, name);
        db.record(&tx, change, caller).await?;
        tx.commit().await
    }

    async fn change(
        &self,
        (name, etag): (&ScheduleName, Option<&str>),
        sql: &str,
        values: Vec<Value>,
        change: Change<'_>,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        db.check_schedule_etag(&tx, name, etag).await?;
        if db.run(&*tx, sql, values).await? == 0 {
            return Err(Error::ScheduleNotFound(name.to_string()).into());
        }
        db.record(&tx, change, caller).await?;
        tx.commit().await?;
        self.schedule(name).await
    }

    /// Reads a schedule.
    pub async fn schedule(&self, name: &ScheduleName) -> Result<ScheduleView, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM schedule WHERE partition_id = $1 AND schedule_id = $2");
        let row: Option<ScheduleRow> = self.db.one(self.db.reader(), sql, keyed(name)).await?;
        row.ok_or_else(|| Error::ScheduleNotFound(name.to_string()))?
            .try_into()
    }

    /// Reads a schedule, also one that this version cannot read.
    pub async fn listed_schedule(&self, name: &ScheduleName) -> Result<ListedSchedule, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM schedule WHERE partition_id = $1 AND schedule_id = $2");
        let row: Option<ScheduleRow> = self.db.one(self.db.reader(), sql, keyed(name)).await?;
        row.ok_or_else(|| Error::ScheduleNotFound(name.to_string()))?
            .listed()
    }

    /// Lists the schedules of a partition by id, above the last one seen; those that cannot be read too.
    pub async fn list_schedules(
        &self,
        partition: &PartitionId,
        above: &str,
        size: u32,
    ) -> Result<SchedulePage, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule WHERE partition_id = $1 AND schedule_id > $2 ORDER BY schedule_id LIMIT $3"
        );
        let values = [
            partition.as_str().into(),
            above.into(),
            (i64::from(size) + 1).into(),
        ];
        let mut rows: Vec<ScheduleRow> = self.db.all(self.db.reader(), sql, values).await?;
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let next = rows.last().filter(|_| more);
        let next = next.map(|row| row.schedule_id.clone());
        let schedules = rows.into_iter().map(ScheduleRow::listed);
        Ok(SchedulePage {
            schedules: schedules.collect::<Result<_, _>>()?,
            next,
        })
    }
}

impl Db {
    /// Locks a schedule, and refuses if it has not the etag that is named.
    async fn check_schedule_etag(
        &self,
        tx: &Tx<'_>,
        name: &ScheduleName,
        etag: Option<&str>,
    ) -> Result<(), StoreError> {
        let Some(etag) = etag else { return Ok(()) };
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule WHERE partition_id = $1 AND schedule_id = $2{}",
            self.for_update()
        );
        let row: Option<ScheduleRow> = self.one(&**tx, sql, keyed(name)).await?;
        let row = row.ok_or_else(|| Error::ScheduleNotFound(name.to_string()))?;
        match row.etag() == etag {
            true => Ok(()),
            false => Err(Error::EtagMismatch(format!("schedule {name}")).into()),
        }
    }
}

pub(super) fn keyed(name: &ScheduleName) -> Vec<Value> {
    vec![
        name.partition.as_str().into(),
        name.schedule.as_str().into(),
    ]
}

fn written(name: &ScheduleName, schedule: &Schedule) -> Result<Vec<Value>, StoreError> {
    let spec = serde_json::to_string(&schedule.job)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    let mut values = keyed(name);
    values.extend([
        schedule.timetable.cron.as_str().into(),
        schedule.timetable.time_zone.as_str().into(),
        overlap_code(schedule.overlap).into(),
        i64::try_from(schedule.catch_up_ms)
            .unwrap_or(i64::MAX)
            .into(),
        spec.into(),
        schedule.job.body().to_vec().into(),
    ]);
    Ok(values)
}
