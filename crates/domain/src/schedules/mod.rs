//! Schedules: they create jobs at the times of a cron pattern.

mod cron;
pub(crate) mod overlap;
pub(crate) mod schedule;
pub(crate) mod timetable;

pub use overlap::{Overlap, OverlapAction, is_open};
pub use schedule::{
    DEFAULT_CATCH_UP_MS, Due, LABEL, MAX_SCHEDULE_ID_BYTES, MAX_TIMES_PER_ROUND, MIN_CATCH_UP_MS,
    Schedule, ScheduleName,
};
pub use timetable::{MAX_CRON_BYTES, Timetable};
