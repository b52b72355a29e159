//! Schedules, created and changed.

use headway_domain::{
    Error,
    events::{Caller, EventKind},
    schedules::{Schedule, ScheduleName},
};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, UpdateMany,
    sea_query::{Expr, OnConflict},
};

use crate::{
    db::{Db, Durability, Tx},
    error::StoreError,
    events::record::AuditEntry,
    schedules::{
        Schedules,
        entity::{ActiveModel, Column, Entity, Model},
        row::{is_named, written},
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
        let new = ActiveModel {
            creator: Set(caller.user.clone()),
            created: Set(now),
            paused: Set(0),
            next_due: Set(next.unwrap_or(0)),
            claimed: Set(0),
            last_due: Set(0),
            last_job: Set(String::new()),
            made: Set(0),
            skipped: Set(0),
            ..written(name, schedule)?
        };
        let insert = Entity::insert(new).on_conflict(OnConflict::new().do_nothing().to_owned());
        let tx = db.write(Durability::Full).await?;
        if db.apply(&*tx, &insert).await? == 0 {
            return Err(Error::ScheduleExists(name.to_string()).into());
        }
        let change = AuditEntry::of_schedule(EventKind::ScheduleCreated, name);
        db.record(&tx, change, caller).await?;
        self.finish(tx, name).await
    }

    /// Changes what a schedule is to do, durably; where it stands is kept. The caller is the author
    /// of its jobs from then on.
    pub async fn update(
        self,
        name: &ScheduleName,
        schedule: &Schedule,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let next = schedule
            .timetable
            .next_after(self.store.db.now())
            .unwrap_or(0);
        let next = Expr::case(Column::Paused.eq(1_i64), 0_i64).finally(next);
        let update = Entity::update_many()
            .set(written(name, schedule)?)
            .col_expr(Column::NextDue, next.into())
            .col_expr(Column::Claimed, Expr::value(0_i64))
            .col_expr(Column::Creator, Expr::value(caller.user.as_str()))
            .filter(is_named(name));
        let change = AuditEntry::of_schedule(EventKind::ScheduleUpdated, name);
        self.change((name, etag), update, change, caller).await
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
        let update = Entity::update_many()
            .col_expr(Column::Paused, Expr::value(i64::from(paused)))
            .col_expr(Column::NextDue, Expr::value(next))
            .col_expr(Column::Claimed, Expr::value(0_i64))
            .filter(is_named(name));
        let kind = match paused {
            true => EventKind::SchedulePaused,
            false => EventKind::ScheduleResumed,
        };
        let change = AuditEntry::of_schedule(kind, name);
        self.change((name, None), update, change, caller).await
    }

    /// Removes a schedule, durably; its jobs stay.
    pub async fn delete(
        self,
        name: &ScheduleName,
        etag: Option<&str>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        db.check_schedule_etag(&tx, name, etag).await?;
        let delete = Entity::delete_many().filter(is_named(name));
        if db.apply(&*tx, &delete).await? == 0 {
            return Err(Error::ScheduleNotFound(name.to_string()).into());
        }
        let change = AuditEntry::of_schedule(EventKind::ScheduleDeleted, name);
        db.record(&tx, change, caller).await?;
        self.end(tx).await
    }

    async fn change(
        self,
        (name, etag): (&ScheduleName, Option<&str>),
        update: UpdateMany<Entity>,
        change: AuditEntry<'_>,
        caller: &Caller,
    ) -> Result<ScheduleView, StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Full).await?;
        db.check_schedule_etag(&tx, name, etag).await?;
        if db.apply(&*tx, &update).await? == 0 {
            return Err(Error::ScheduleNotFound(name.to_string()).into());
        }
        db.record(&tx, change, caller).await?;
        self.finish(tx, name).await
    }
}

impl Schedules<'_> {
    /// Commits, unless it is a rehearsal; the schedule as it is then, or would be.
    async fn finish(self, tx: Tx<'_>, name: &ScheduleName) -> Result<ScheduleView, StoreError> {
        if !self.rehearse {
            tx.commit().await?;
            return self.get(name).await;
        }
        let query = Entity::find().filter(is_named(name));
        let row: Option<Model> = self.store.db.find_one(&*tx, &query).await?;
        tx.undo().await?;
        row.ok_or_else(|| Error::ScheduleNotFound(name.to_string()))?
            .try_into()
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
        let query = Entity::find().filter(is_named(name)).lock_exclusive();
        let row: Option<Model> = self.find_one(&**tx, &query).await?;
        let row = row.ok_or_else(|| Error::ScheduleNotFound(name.to_string()))?;
        match row.etag() == etag {
            true => Ok(()),
            false => Err(Error::EtagMismatch(format!("schedule {name}")).into()),
        }
    }
}
