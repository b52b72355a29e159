//! Jobs.

pub mod control;
pub mod count;
pub mod create;
pub mod delete;
pub mod failures;
pub mod filters;
pub mod held;
pub mod history;
pub mod list;
pub mod lives;
pub mod recount;
pub mod update;
