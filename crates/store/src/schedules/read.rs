//! Schedules, read and listed.

use headway_domain::{Error, PartitionId, schedules::ScheduleName};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Order};

use crate::{
    error::StoreError,
    schedules::{
        Schedules,
        entity::{Column, Entity, Model},
        row::is_named,
        view::{ListedSchedule, SchedulePage, ScheduleView},
    },
};

impl Schedules<'_> {
    /// Reads a schedule.
    ///
    /// # Errors
    /// [`Error::ScheduleNotFound`], and [`Error::ScheduleUnreadable`] for one that this version
    /// cannot read.
    pub async fn get(self, name: &ScheduleName) -> Result<ScheduleView, StoreError> {
        match self.get_listed(name).await? {
            ListedSchedule::Readable(view) => Ok(*view),
            ListedSchedule::Unreadable(schedule) => Err(Error::ScheduleUnreadable {
                schedule: name.to_string(),
                why: schedule.reason,
            }
            .into()),
        }
    }

    /// Reads a schedule, also one that this version cannot read.
    pub async fn get_listed(self, name: &ScheduleName) -> Result<ListedSchedule, StoreError> {
        let db = &self.store.db;
        let query = Entity::find().filter(is_named(name));
        let row: Option<Model> = db.find_one(db.reader(), &query).await?;
        row.ok_or_else(|| Error::ScheduleNotFound(name.to_string()))?
            .listed()
    }

    /// Lists the schedules of a partition by id, above the last one seen; those that cannot be read
    /// too.
    pub async fn list(
        self,
        partition: &PartitionId,
        above: &str,
        size: u32,
    ) -> Result<SchedulePage, StoreError> {
        let db = &self.store.db;
        let query = Entity::find()
            .filter(Column::PartitionId.eq(partition.as_str()))
            .filter(Column::ScheduleId.gt(above))
            .order_by(Column::ScheduleId, Order::Asc)
            .limit(u64::from(size) + 1);
        let mut rows: Vec<Model> = db.find_all(db.reader(), &query).await?;
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let next = rows.last().filter(|_| more);
        let next = next.map(|row| row.schedule_id.clone());
        let schedules = rows.into_iter().map(Model::listed);
        Ok(SchedulePage {
            schedules: schedules.collect::<Result<_, _>>()?,
            next,
        })
    }
}
