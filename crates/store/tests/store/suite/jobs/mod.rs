//! Jobs.

pub(crate) mod control;
pub(crate) mod count;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod failures;
pub(crate) mod filters;
pub(crate) mod held;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod lives;
pub(crate) mod recount;
pub(crate) mod update;
