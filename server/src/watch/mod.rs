//! Following jobs: one hub a process reads each watched job once per change, however many watch it.

mod feed;
mod hub;
mod table;
mod watcher;

pub(crate) use hub::HubTask;
pub(crate) use table::Hub;
pub(crate) use watcher::{Pace, Update, follow};
