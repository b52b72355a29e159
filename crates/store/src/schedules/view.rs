//! Schedules as they are read.

use headway_domain::{
    Micros,
    schedules::{Schedule, ScheduleName},
};

/// A schedule and where it stands.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    /// Its name.
    pub name: ScheduleName,
    /// What it is to do; the job's body included.
    pub schedule: Schedule,
    /// Who created it.
    pub creator: String,
    /// When.
    pub created: Micros,
    /// Whether no jobs are made until it is resumed.
    pub paused: bool,
    /// The next time; none if it is paused or names no more.
    pub next: Option<Micros>,
    /// The last time that a job was made for.
    pub last: Option<Micros>,
    /// The id of that job; empty for none.
    pub last_job: String,
    /// Jobs made.
    pub made: u64,
    /// Times skipped, because a job had not ended or because they were missed.
    pub skipped: u64,
    /// Identifies what it is to do, and who said so.
    pub etag: String,
}

/// A schedule that this version cannot read: what can be shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableSchedule {
    /// Its partition.
    pub partition: String,
    /// Its id.
    pub schedule: String,
    /// Its pattern, as it is stored.
    pub cron: String,
    /// Its time zone, as it is stored.
    pub time_zone: String,
    /// Who created it.
    pub creator: String,
    /// When.
    pub created: Micros,
    /// As in [`ScheduleView`].
    pub etag: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// A schedule as lists show it.
#[derive(Debug, Clone)]
pub enum ListedSchedule {
    /// One that can be read.
    Readable(Box<ScheduleView>),
    /// One that cannot; the others are listed beside it.
    Unreadable(UnreadableSchedule),
}

/// Some schedules and where the next ones begin.
#[derive(Debug, Clone)]
pub struct SchedulePage {
    /// By id.
    pub schedules: Vec<ListedSchedule>,
    /// The id to continue above, if there may be more.
    pub next: Option<String>,
}
