//! Schedules: jobs that are created again and again, at times of a cron pattern.

mod cron;
pub(crate) mod overlap;
pub mod schedule;
pub(crate) mod timetable;

pub use overlap::{Overlap, OverlapAction, is_open};
pub use schedule::{Due, Schedule, ScheduleName};
pub use timetable::{MAX_CRON_BYTES, Timetable};
