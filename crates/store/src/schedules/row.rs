//! Rows of schedules.

use headway_domain::{
    JobId, PartitionId,
    etag::etag,
    jobs::JobSpec,
    schedules::{Overlap, Schedule, ScheduleName, Timetable},
};
use sea_orm::{ColumnTrait, Condition, IdenStatic, Iterable, Set, Value};

use crate::{
    error::StoreError,
    ground::{
        codes::{Code, codes},
        numbers::{optional, unsigned},
    },
    schedules::{
        entity::{ActiveModel, Column, Model},
        view::{ListedSchedule, ScheduleView, UnreadableSchedule},
    },
};

/// The columns of [`Model`], in statements that sea-orm does not build.
pub(crate) fn columns() -> String {
    let names = Column::iter().map(|column| column.as_str().to_owned());
    names.collect::<Vec<_>>().join(", ")
}

codes!(Overlap, "overlap policy {code} is unknown", {
    Skip = 0,
    Queue = 1,
    CancelPrevious = 2,
    Allow = 3,
});

impl Model {
    /// The key under which it is set aside.
    pub(crate) fn aside_key(&self) -> String {
        format!("{}/{}", self.partition_id, self.schedule_id)
    }

    /// Of what UpdateSchedule changes, as it is stored.
    pub(crate) fn etag(&self) -> String {
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

    pub(crate) fn listed(self) -> Result<ListedSchedule, StoreError> {
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

impl TryFrom<Model> for ScheduleView {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
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
            etag,
        })
    }
}

pub(crate) fn keyed(name: &ScheduleName) -> Vec<Value> {
    vec![
        name.partition.as_str().into(),
        name.schedule.as_str().into(),
    ]
}

/// What is written of a schedule that is created or changed.
pub(crate) fn written(name: &ScheduleName, schedule: &Schedule) -> Result<ActiveModel, StoreError> {
    let spec = serde_json::to_string(&schedule.job)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok(ActiveModel {
        partition_id: Set(name.partition.to_string()),
        schedule_id: Set(name.schedule.to_string()),
        cron: Set(schedule.timetable.cron.clone()),
        time_zone: Set(schedule.timetable.time_zone.clone()),
        overlap: Set(schedule.overlap.code()),
        catch_up: Set(i64::try_from(schedule.catch_up_ms).unwrap_or(i64::MAX)),
        spec: Set(spec),
        body: Set(schedule.job.body().to_vec()),
        ..ActiveModel::default()
    })
}

/// The condition that a row is of a schedule.
pub(crate) fn is_named(name: &ScheduleName) -> Condition {
    Condition::all()
        .add(Column::PartitionId.eq(name.partition.as_str()))
        .add(Column::ScheduleId.eq(name.schedule.as_str()))
}
