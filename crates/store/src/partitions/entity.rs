//! The table of partitions that have settings.

use sea_orm::entity::prelude::*;

/// The settings of a partition; 0 is no quota.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "partition_setting")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) partition_id: String,
    pub(crate) suspended: i64,
    pub(crate) changed_by: String,
    pub(crate) changed: i64,
    pub(crate) pending: i64,
    pub(crate) retention: String,
    pub(crate) weight: i64,
    pub(crate) open_jobs: i64,
    pub(crate) in_flight: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
