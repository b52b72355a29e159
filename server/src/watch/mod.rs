//! Watching jobs. One hub in each process reads a watched job once for each change, however many
//! clients watch it.

mod feed;
mod hub;
mod partition;
mod shown;
mod table;
mod watcher;

pub(crate) use hub::HubTask;
pub(crate) use partition::{
    EventsUpdate, JobsPace, JobsUpdate, PartitionPoller, Partitions, Since, follow_events,
    follow_jobs,
};
pub(crate) use table::Hub;
#[cfg(test)]
pub(crate) use table::tests::view as test_view;
pub(crate) use watcher::{Pace, Update, follow};
