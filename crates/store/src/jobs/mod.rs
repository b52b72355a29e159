//! Jobs: created, read, listed, controlled, changed and deleted.

pub(crate) mod control;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod due;
pub(crate) mod explain;
pub(crate) mod failures;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod recount;
pub(crate) mod target;
pub(crate) mod update;
pub(crate) mod view;
