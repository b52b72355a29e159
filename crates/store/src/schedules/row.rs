//! Rows of schedules.

use headway_domain::{
    JobId, PartitionId,
    schedule::{Overlap, Schedule, ScheduleName},
    spec::JobSpec,
    timetable::Timetable,
};
use sea_orm::{FromQueryResult, Value};

use crate::{
    error::StoreError,
    ground::{
        codes::{Code, codes},
        numbers::{optional, unsigned},
    },
    schedules::view::{ListedSchedule, ScheduleView, UnreadableSchedule},
};

#[derive(Debug, FromQueryResult)]
pub(crate) struct ScheduleRow {
    partition_id: String,
    pub(crate) schedule_id: String,
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
pub(crate) const COLUMNS: &str = "partition_id, schedule_id, cron, time_zone, overlap, catch_up, spec, body, creator, created, \
     paused, next_due, last_due, last_job, made, skipped";

codes!(Overlap, "overlap policy {code} is unknown", {
    Skip = 0,
    Queue = 1,
    CancelPrevious = 2,
    Allow = 3,
});

impl ScheduleRow {
    /// The key under which it is set aside.
    pub(crate) fn aside_key(&self) -> String {
        format!("{}/{}", self.partition_id, self.schedule_id)
    }

    pub(crate) fn listed(self) -> Result<ListedSchedule, StoreError> {
        let mut unreadable = UnreadableSchedule {
            partition: self.partition_id.clone(),
            schedule: self.schedule_id.clone(),
            cron: self.cron.clone(),
            time_zone: self.time_zone.clone(),
            creator: self.creator.clone(),
            created: self.created,
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
        let mut job: JobSpec =
            serde_json::from_str(&row.spec).map_err(|error| broken(&error.to_string()))?;
        job.set_body(row.body);
        let timetable = Timetable::stored(&row.cron, &row.time_zone)
            .map_err(|error| broken(&error.to_string()))?;
        Ok(Self {
            schedule: Schedule {
                timetable,
                overlap: Overlap::of(row.overlap)
                    .map_err(|_| broken(&format!("overlap policy {} is unknown", row.overlap)))?,
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
        })
    }
}

pub(crate) fn keyed(name: &ScheduleName) -> Vec<Value> {
    vec![
        name.partition.as_str().into(),
        name.schedule.as_str().into(),
    ]
}

pub(crate) fn written(name: &ScheduleName, schedule: &Schedule) -> Result<Vec<Value>, StoreError> {
    let spec = serde_json::to_string(&schedule.job)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    let mut values = keyed(name);
    values.extend([
        schedule.timetable.cron.as_str().into(),
        schedule.timetable.time_zone.as_str().into(),
        schedule.overlap.code().into(),
        i64::try_from(schedule.catch_up_ms)
            .unwrap_or(i64::MAX)
            .into(),
        spec.into(),
        schedule.job.body().to_vec().into(),
    ]);
    Ok(values)
}
