//! Schedules, read and listed.

use headway_domain::{Error, PartitionId, schedule::ScheduleName};

use crate::{
    error::StoreError,
    schedules::{
        Schedules,
        row::{COLUMNS, ScheduleRow, keyed},
        view::{ListedSchedule, SchedulePage, ScheduleView},
    },
};

impl Schedules<'_> {
    /// Reads a schedule.
    pub async fn get(self, name: &ScheduleName) -> Result<ScheduleView, StoreError> {
        let db = &self.store.db;
        let sql =
            format!("SELECT {COLUMNS} FROM schedule WHERE partition_id = $1 AND schedule_id = $2");
        let row: Option<ScheduleRow> = db.one(db.reader(), sql, keyed(name)).await?;
        row.ok_or_else(|| Error::ScheduleNotFound(name.to_string()))?
            .try_into()
    }

    /// Reads a schedule, also one that this version cannot read.
    pub async fn get_listed(self, name: &ScheduleName) -> Result<ListedSchedule, StoreError> {
        let db = &self.store.db;
        let sql =
            format!("SELECT {COLUMNS} FROM schedule WHERE partition_id = $1 AND schedule_id = $2");
        let row: Option<ScheduleRow> = db.one(db.reader(), sql, keyed(name)).await?;
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
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule WHERE partition_id = $1 AND schedule_id > $2 ORDER BY schedule_id LIMIT $3"
        );
        let values = [
            partition.as_str().into(),
            above.into(),
            (i64::from(size) + 1).into(),
        ];
        let mut rows: Vec<ScheduleRow> = db.all(db.reader(), sql, values).await?;
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
