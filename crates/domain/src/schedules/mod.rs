//! Schedules: jobs that are created again and again, at times of a cron pattern.

mod cron;
pub mod schedule;
pub mod timetable;
