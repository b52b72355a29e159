//! The table of pipes that have limits.

use sea_orm::entity::prelude::*;

/// The limits of a pipe; 0 is none.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "pipe_limit")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) pipe: String,
    pub(crate) in_flight: i64,
    pub(crate) per_second: f64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
