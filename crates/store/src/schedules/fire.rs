//! Jobs of schedules, made when their time comes. A look claims its schedule, makes jobs whose ids
//! are made of their times, and moves the schedule on; one that dies in between is repeated, and
//! finds the jobs that it made.

use headway_domain::{Micros, schedules::Timetable};
use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, sea_query::Expr,
};

use crate::{
    deployment::unreadable::Source,
    error::StoreError,
    ground::{committed::Committed, numbers::optional},
    jobs::create::new_job::Created,
    schedules::{
        Schedules,
        entity::{Column, Entity, Model},
        row::{columns, is_named},
        view::ScheduleView,
    },
};

/// Schedules looked at in one round.
const MAX_SCHEDULES_PER_ROUND: i64 = 50;

/// How long a look may take before another process repeats it, in microseconds.
const CLAIM_US: Micros = 30_000_000;

/// What a round of looks did.
#[derive(Debug, Default)]
pub struct FiredSchedules {
    /// Jobs that were made, each to be published.
    pub created: Vec<Created>,
    /// What cancelling earlier jobs caused.
    pub committed: Committed,
    /// Whether there may be more.
    pub more: bool,
}

impl Schedules<'_> {
    /// When the next schedule is due of which no process has the look; it may be in the past.
    pub async fn next_due(self) -> Result<Option<Micros>, StoreError> {
        let db = &self.store.db;
        let sql = format!(
            "SELECT COALESCE(min(next_due), 0) AS value FROM schedule WHERE next_due > 0 AND claimed <= $1 AND {}",
            self.readable(1)
        );
        let now = db.now();
        let next = db.one_int(db.work_reader(), sql, [now.into()]).await?;
        Ok(optional(next.unwrap_or(0)))
    }

    /// Looks at schedules whose time has come. One that cannot be read is set aside.
    pub async fn fire(self) -> Result<FiredSchedules, StoreError> {
        let db = &self.store.db;
        let now = db.now();
        let sql = format!(
            "SELECT {} FROM schedule WHERE next_due > 0 AND next_due <= $1 AND claimed <= $1 AND {} ORDER BY next_due LIMIT $2",
            columns(),
            self.readable(1)
        );
        let due: Vec<Model> = db
            .all(
                db.work_reader(),
                sql,
                [now.into(), MAX_SCHEDULES_PER_ROUND.into()],
            )
            .await?;
        let mut fired = FiredSchedules {
            more: due.len() as i64 == MAX_SCHEDULES_PER_ROUND,
            ..FiredSchedules::default()
        };
        for row in due {
            let key = row.aside_key();
            match self.fire_one(row, now, &mut fired).await {
                Err(error) if !error.is_passing() => {
                    self.store.set_aside(Source::Schedule, &key, &error).await?;
                }
                looked => looked?,
            }
        }
        Ok(fired)
    }

    fn readable(self, now: usize) -> String {
        let key = "(partition_id || '/' || schedule_id)";
        self.store.db.not_set_aside(Source::Schedule, key, now)
    }

    async fn fire_one(
        self,
        row: Model,
        now: Micros,
        fired: &mut FiredSchedules,
    ) -> Result<(), StoreError> {
        let view = ScheduleView::try_from(row)?;
        match self.claim(&view, now).await? {
            true => self.look(&view, now, fired).await,
            false => Ok(()),
        }
    }

    /// Whether this process has the look.
    async fn claim(self, view: &ScheduleView, now: Micros) -> Result<bool, StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::Claimed, Expr::value(now + CLAIM_US))
            .filter(is_named(&view.name))
            .filter(Column::NextDue.eq(view.next.unwrap_or(0)))
            .filter(Column::Claimed.lte(now));
        let db = &self.store.db;
        let (sql, values) = db.built(&update);
        Ok(db.run_alone(sql, values).await? > 0)
    }
}

#[derive(Debug, FromQueryResult)]
struct TimesRow {
    partition_id: String,
    schedule_id: String,
    cron: String,
    time_zone: String,
    next_due: i64,
}

impl Schedules<'_> {
    /// Moves schedules whose next time is later than their pattern says back to it: their time was
    /// found while the clock was ahead. How many.
    pub async fn realign(self) -> Result<u64, StoreError> {
        let db = &self.store.db;
        let now = db.now();
        let query = Entity::find()
            .select_only()
            .columns([
                Column::PartitionId,
                Column::ScheduleId,
                Column::Cron,
                Column::TimeZone,
                Column::NextDue,
            ])
            .filter(Column::NextDue.gt(now));
        let ahead: Vec<TimesRow> = db.find_all(db.work_reader(), &query).await?;
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
            let update = Entity::update_many()
                .col_expr(Column::NextDue, Expr::value(next))
                .col_expr(Column::Claimed, Expr::value(0_i64))
                .filter(Column::PartitionId.eq(row.partition_id))
                .filter(Column::ScheduleId.eq(row.schedule_id))
                .filter(Column::NextDue.eq(row.next_due));
            let (sql, values) = db.built(&update);
            moved += db.run_alone(sql, values).await?;
        }
        Ok(moved)
    }
}
