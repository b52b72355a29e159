//! Schedules, created and changed.

use headway_domain::{
    Error,
    event::{Caller, EventKind},
    schedule::{Schedule, ScheduleName},
};
use sea_orm::Value;

use crate::{
    db::Durability,
    error::StoreError,
    events::record::AuditEntry,
    schedules::{
        Schedules,
        row::{keyed, written},
        view::ScheduleView,
    },
};

impl Schedules<'_> {
    /// Keeps a schedule, durably.
    ///
    /// # Errors
    /// [`Error::ScheduleExists`] if the id is taken.
    pub async fn create(
        self,
        name: &ScheduleName,
        schedule: &Schedule,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let db = &self.store.db;
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
        let change = AuditEntry::of_schedule(EventKind::ScheduleCreated, name);
        db.record(&tx, change, caller).await?;
        tx.commit().await?;
        self.get(name).await
    }

    /// Changes what a schedule is to do, durably; where it stands is kept. The caller is the author
    /// of its jobs from then on.
    pub async fn update(
        self,
        name: &ScheduleName,
        schedule: &Schedule,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let next = schedule
            .timetable
            .next_after(self.store.db.now())
            .unwrap_or(0);
        let sql = "UPDATE schedule SET cron = $3, time_zone = $4, overlap = $5, catch_up = $6, spec = $7, body = $8, \
                   next_due = CASE WHEN paused = 1 THEN 0 ELSE $9 END, claimed = 0, creator = $10 WHERE partition_id = $1 AND schedule_id = $2";
        let mut values = written(name, schedule)?;
        values.extend([next.into(), caller.user.as_str().into()]);
        let change = AuditEntry::of_schedule(EventKind::ScheduleUpdated, name);
        self.change(name, sql, values, change, caller).await
    }

    /// Stops making jobs, or goes on with the next time from now, durably.
    pub async fn set_paused(
        self,
        name: &ScheduleName,
        paused: bool,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let view = self.get(name).await?;
        if view.paused == paused {
            return Ok(view);
        }
        let next = view.schedule.timetable.next_after(self.store.db.now());
        let next = next.filter(|_| !paused).unwrap_or(0);
        let sql = "UPDATE schedule SET paused = $3, next_due = $4, claimed = 0 WHERE partition_id = $1 AND schedule_id = $2";
        let mut values = keyed(name);
        values.extend([i64::from(paused).into(), next.into()]);
        let kind = match paused {
            true => EventKind::SchedulePaused,
            false => EventKind::ScheduleResumed,
        };
        let change = AuditEntry::of_schedule(kind, name);
        self.change(name, sql, values, change, caller).await
    }

    /// Removes a schedule, durably; its jobs stay.
    pub async fn delete(self, name: &ScheduleName, caller: &Caller) -> Result<(), StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        let sql = "DELETE FROM schedule WHERE partition_id = $1 AND schedule_id = $2";
        if db.run(&*tx, sql, keyed(name)).await? == 0 {
            return Err(Error::ScheduleNotFound(name.to_string()).into());
        }
        let change = AuditEntry::of_schedule(EventKind::ScheduleDeleted, name);
        db.record(&tx, change, caller).await?;
        tx.commit().await
    }

    async fn change(
        self,
        name: &ScheduleName,
        sql: &str,
        values: Vec<Value>,
        change: AuditEntry<'_>,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        if db.run(&*tx, sql, values).await? == 0 {
            return Err(Error::ScheduleNotFound(name.to_string()).into());
        }
        db.record(&tx, change, caller).await?;
        tx.commit().await?;
        self.get(name).await
    }
}
