//! The table of schedules.

use sea_orm::entity::prelude::*;

/// A schedule as it is stored. 0 is no time.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) partition_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) schedule_id: String,
    pub(crate) cron: String,
    pub(crate) time_zone: String,
    pub(crate) overlap: i64,
    pub(crate) catch_up: i64,
    pub(crate) spec: String,
    pub(crate) body: Vec<u8>,
    pub(crate) creator: String,
    pub(crate) created: i64,
    pub(crate) paused: i64,
    pub(crate) next_due: i64,
    pub(crate) claimed: i64,
    pub(crate) last_due: i64,
    pub(crate) last_job: String,
    pub(crate) made: i64,
    pub(crate) skipped: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
