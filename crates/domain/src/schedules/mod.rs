//! Schedules: jobs that are created again and again, at times of a cron pattern.

mod cron;
pub mod schedule;
pub(crate) mod timetable;

pub use schedule::{Due, Overlap, Schedule, ScheduleName};
pub use timetable::{MAX_CRON_BYTES, Timetable};
