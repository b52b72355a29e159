//! Jobs: creating, finding, controlling, changing and deleting them, and their times.

mod bulk;
mod control;
mod creating;
mod expiry;
pub(crate) mod explain;
mod finding;
mod timing;
mod transitions;
mod updating;
