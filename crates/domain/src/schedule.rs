//! Schedules: jobs that are made again and again, at times of a cron pattern in a time zone.

use jiff::Timestamp;

use crate::{
    Micros,
    error::{Error, FieldViolation},
    ids::{JobId, PartitionId},
    job::JobState,
    limits,
    spec::JobSpec,
    timetable::Timetable,
};

/// The label that says which schedule made a job.
pub const LABEL: &str = "headway.schedule";
/// Bytes of a schedule's id: the ids of its jobs add a time.
pub const ID_BYTES: usize = 100;
/// The default of [`Schedule::catch_up_ms`].
pub const DEFAULT_CATCH_UP_MS: u64 = 60_000;
/// Less than this of [`Schedule::catch_up_ms`] counts as this: a look comes a moment after the time.
pub const LEAST_CATCH_UP_MS: u64 = 1000;
/// Times that one look at a schedule deals with at most; the rest comes with the next look.
pub const ROUND: usize = 100;

/// What happens when a time comes while the job of an earlier one has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlap {
    /// The time is passed over.
    #[default]
    Skip,
    /// The new job waits until the one before has ended.
    Queue,
    /// The jobs before are cancelled.
    CancelPrevious,
    /// The new job runs beside the others: each time has its job.
    Allow,
}

/// A schedule, as clients say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// When.
    pub timetable: Timetable,
    /// What happens while the job of an earlier time has not ended.
    pub overlap: Overlap,
    /// How late a time that was missed is still dealt with, in milliseconds; see [`LEAST_CATCH_UP_MS`].
    pub catch_up_ms: u64,
    /// What each job is to do.
    pub job: JobSpec,
}

impl Schedule {
    /// Checks every bound.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names each field that breaks one.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if self.catch_up_ms > limits::SPAN_MS {
            wrong.push(FieldViolation {
                field: "schedule.catch_up_window".into(),
                description: "must be 0 to 366 days".into(),
            });
        }
        if !self.job.prerequisites.is_empty() {
            wrong.push(FieldViolation {
                field: "schedule.job.prerequisites".into(),
                description: "must be empty: every job of a schedule would need the same ones"
                    .into(),
            });
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Error::Invalid(wrong)),
        }
    }

    /// Which times a look at the schedule deals with: those from `due` up to now that are not too late, and where the next
    /// look begins.
    pub fn due(&self, due: Micros, now: Micros) -> Due {
        let window = self.catch_up_ms.max(LEAST_CATCH_UP_MS);
        let window = i64::try_from(window.saturating_mul(1000)).unwrap_or(i64::MAX);
        let mut found = Due::default();
        let oldest = now.saturating_sub(window);
        let mut time = Some(due);
        if due < oldest {
            found.missed += 1;
            // What is too late is not counted one by one: it may be years of seconds.
            time = self.timetable.next_after(oldest - 1);
        }
        while let Some(at) = time.filter(|at| *at <= now) {
            if found.times.len() >= ROUND {
                break;
            }
            found.times.push(at);
            time = self.timetable.next_after(at);
        }
        found.next = time;
        found
    }
}

/// What a look at a schedule found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Times to make jobs for, oldest first.
    pub times: Vec<Micros>,
    /// Whether times were too late, as 0 or 1.
    pub missed: u64,
    /// The next time.
    pub next: Option<Micros>,
}

/// A schedule's name, `partitions/{partition}/schedules/{schedule}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleName {
    /// The partition.
    pub partition: PartitionId,
    /// The id within it, at most [`ID_BYTES`].
    pub schedule: JobId,
}

impl ScheduleName {
    /// The id of the job for a time: so a time has one job, however often it is looked at.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the schedule's id is too long for that.
    pub fn job(&self, time: Micros) -> Result<JobId, Error> {
        let time = Timestamp::from_microsecond(time).unwrap_or_default();
        JobId::new(format!(
            "{}-{}",
            self.schedule,
            time.strftime("%Y%m%dT%H%M%SZ")
        ))
    }

    /// The id of a job that somebody asked for at this moment. It is never that of a time of the timetable, nor that of another
    /// microsecond.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the schedule's id is too long for that.
    pub fn job_now(&self, now: Micros) -> Result<JobId, Error> {
        let second = self.job(now)?;
        JobId::new(format!("{second}-{:06}", now.rem_euclid(1_000_000)))
    }
}

impl std::fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "partitions/{}/schedules/{}",
            self.partition, self.schedule
        )
    }
}

/// Whether a job stands in the way of the next one of its schedule.
pub fn is_open(state: JobState) -> bool {
    matches!(
        state,
        JobState::Waiting | JobState::Active | JobState::Paused
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::PipeName,
        spec::{TaskSpec, Work},
    };

    fn at(text: &str) -> Micros {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn schedule(cron: &str, catch_up_ms: u64) -> Schedule {
        Schedule {
            timetable: Timetable::new(cron, "").unwrap(),
            overlap: Overlap::Skip,
            catch_up_ms,
            job: JobSpec::new(Work::Task(TaskSpec {
                pipe: PipeName::new("p").unwrap(),
                task_type: "t".into(),
                payload: Vec::new(),
                content_type: String::new(),
                headers: std::collections::BTreeMap::new(),
            })),
        }
    }

    #[test]
    fn what_was_missed_is_caught_up_within_the_window() {
        let minutely = schedule("* * * * *", 150_000);
        let now = at("2026-01-01T12:10:30Z");
        // Down for ten minutes: the last two and a half minutes are dealt with.
        let due = minutely.due(at("2026-01-01T12:00:00Z"), now);
        assert_eq!(
            due.times,
            [
                at("2026-01-01T12:08:00Z"),
                at("2026-01-01T12:09:00Z"),
                at("2026-01-01T12:10:00Z")
            ]
        );
        assert_eq!(
            (due.missed, due.next),
            (1, Some(at("2026-01-01T12:11:00Z")))
        );
        // On time.
        let due = minutely.due(at("2026-01-01T12:10:00Z"), now);
        assert_eq!((due.times.len(), due.missed), (1, 0));
        // Not yet.
        let due = minutely.due(at("2026-01-01T12:11:00Z"), now);
        assert_eq!(
            (due.times.len(), due.next),
            (0, Some(at("2026-01-01T12:11:00Z")))
        );
    }

    #[test]
    fn no_window_is_so_small_that_every_time_is_missed() {
        let minutely = schedule("* * * * *", 0);
        let due = minutely.due(at("2026-01-01T12:00:00Z"), at("2026-01-01T12:00:01Z"));
        assert_eq!((due.times.len(), due.missed), (1, 0));
        let due = minutely.due(at("2026-01-01T12:00:00Z"), at("2026-01-01T12:00:02Z"));
        assert_eq!((due.times.len(), due.missed), (0, 1));
    }

    #[test]
    fn a_look_deals_with_so_many_times() {
        let secondly = schedule("* * * * * *", 3_600_000);
        let due = secondly.due(at("2026-01-01T12:00:00Z"), at("2026-01-01T12:10:00Z"));
        assert_eq!(due.times.len(), ROUND);
        assert_eq!(due.next, Some(at("2026-01-01T12:01:40Z")));
    }

    #[test]
    fn the_id_of_a_job_is_made_of_its_time() {
        let name = ScheduleName {
            partition: PartitionId::new("p").unwrap(),
            schedule: JobId::new("nightly").unwrap(),
        };
        let job = name.job(at("2026-01-31T03:00:00Z")).unwrap();
        assert_eq!(job.as_str(), "nightly-20260131T030000Z");
        let now = name.job_now(at("2026-01-31T03:00:00.000042Z")).unwrap();
        assert_eq!(now.as_str(), "nightly-20260131T030000Z-000042");
    }
}
