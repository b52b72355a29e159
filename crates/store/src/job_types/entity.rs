//! The table of job types.

use sea_orm::entity::prelude::*;

/// A job type as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_type")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) type_id: String,
    pub(crate) version: i64,
    pub(crate) definition: String,
    pub(crate) author: String,
    pub(crate) updated: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
