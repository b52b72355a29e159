//! What roles do with the store: one file for each concern, one method for each transaction.

pub(crate) mod control;
pub(crate) mod create;
pub(crate) mod credit;
pub(crate) mod delete;
pub(crate) mod epoch;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod filter;
pub(crate) mod history;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod outbox;
pub(crate) mod partitions;
pub(crate) mod pipes;
pub(crate) mod prerequisites;
pub(crate) mod read;
pub(crate) mod releases;
pub(crate) mod report;
pub(crate) mod schedules;
pub(crate) mod shards;
pub(crate) mod split;
pub(crate) mod timers;
pub(crate) mod tree;
pub(crate) mod update;
pub(crate) mod work;
pub(crate) mod write;
