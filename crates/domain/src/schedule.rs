//! Schedules: jobs that are made again and again, at times of a cron pattern in a time zone.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};

use crate::{
    Micros,
    error::{Error, FieldViolation},
    ids::{JobId, PartitionId},
    job::JobState,
    limits,
    spec::JobSpec,
};

/// The label that says which schedule made a job.
pub const LABEL: &str = "headway.schedule";
/// Bytes of a schedule's id: the ids of its jobs add a time.
pub const ID_BYTES: usize = 100;
/// Bytes of a cron pattern.
pub const CRON_BYTES: usize = 256;
/// The default of [`Schedule::catch_up_ms`].
pub const DEFAULT_CATCH_UP_MS: u64 = 60_000;
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
    /// The job before is cancelled.
    CancelPrevious,
}

/// When jobs are made.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// The cron pattern, as it was written.
    pub cron: String,
    /// The name of the time zone.
    pub time_zone: String,
    pattern: Cron,
    zone: Tz,
}

impl PartialEq for Timetable {
    fn eq(&self, other: &Self) -> bool {
        (&self.cron, &self.time_zone) == (&other.cron, &other.time_zone)
    }
}

impl Timetable {
    /// Reads a pattern of five fields, or six with seconds before them, or a nickname such as `@daily`; an empty zone is UTC.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `schedule.cron` or `schedule.time_zone`.
    pub fn new(cron: &str, time_zone: &str) -> Result<Self, Error> {
        let mut wrong = Vec::new();
        let mut refuse = |field: &str, description: String| {
            wrong.push(FieldViolation {
                field: format!("schedule.{field}"),
                description,
            });
        };
        let zone = match time_zone {
            "" => Ok(Tz::UTC),
            name => Tz::from_str(name),
        };
        if zone.is_err() {
            refuse(
                "time_zone",
                format!(
                    "must be a name of the IANA database such as Europe/Berlin, not {time_zone:?}"
                ),
            );
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let pattern = match cron.len() <= CRON_BYTES {
            true => parser.parse(cron).map_err(|error| error.to_string()),
            false => Err(format!("it has more than {CRON_BYTES} bytes")),
        };
        if let Err(why) = &pattern {
            refuse(
                "cron",
                format!("must be a cron pattern such as \"0 3 * * MON-FRI\": {why}"),
            );
        }
        match (pattern, zone) {
            (Ok(pattern), Ok(zone)) => Ok(Self {
                cron: cron.to_owned(),
                time_zone: zone.name().to_owned(),
                pattern,
                zone,
            }),
            _ => Err(Error::Invalid(wrong)),
        }
    }

    /// The first time after this one; none if the pattern names no more. A time that a clock skips when it is put forward comes
    /// as soon as the clock goes on; one that comes twice when it is put back counts once.
    pub fn next_after(&self, time: Micros) -> Option<Micros> {
        let time = DateTime::<Utc>::from_timestamp_micros(time)?.with_timezone(&self.zone);
        let next = self.pattern.find_next_occurrence(&time, false).ok()?;
        Some(next.timestamp_micros())
    }
}

/// A schedule, as clients say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// When.
    pub timetable: Timetable,
    /// What happens while the job of an earlier time has not ended.
    pub overlap: Overlap,
    /// How late a time that was missed is still dealt with, in milliseconds.
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
        let window = i64::try_from(self.catch_up_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
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
        let time = DateTime::<Utc>::from_timestamp_micros(time).unwrap_or_default();
        JobId::new(format!(
            "{}-{}",
            self.schedule,
            time.format("%Y%m%dT%H%M%SZ")
        ))
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
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let next = Timetable::new(cron, zone)
            .unwrap()
            .next_after(at(after))
            .unwrap();
        DateTime::<Utc>::from_timestamp_micros(next)
            .unwrap()
            .to_rfc3339()
    }

    #[test]
    fn times_are_those_of_the_zone() {
        assert_eq!(
            next("0 3 * * *", "", "2026-01-01T03:00:00Z"),
            "2026-01-02T03:00:00+00:00"
        );
        // Winter and summer in Berlin.
        assert_eq!(
            next("0 3 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z"),
            "2026-01-01T02:00:00+00:00"
        );
        assert_eq!(
            next("0 3 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z"),
            "2026-07-01T01:00:00+00:00"
        );
        assert_eq!(
            next("*/10 * * * * *", "", "2026-01-01T00:00:01Z"),
            "2026-01-01T00:00:10+00:00"
        );
        assert_eq!(
            next("@daily", "", "2026-01-01T00:00:01Z"),
            "2026-01-02T00:00:00+00:00"
        );
        assert_eq!(
            next(
                "0 9 * * MON-FRI",
                "America/New_York",
                "2026-11-27T15:00:00Z"
            ),
            "2026-11-30T14:00:00+00:00"
        );
    }

    #[test]
    fn a_clock_that_is_put_forward_skips_no_day() {
        // On 29 March 2026 two o'clock is three o'clock in Berlin: half past two is not there.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"),
            "2026-03-29T01:00:00+00:00"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"),
            "2026-03-30T00:30:00+00:00"
        );
    }

    #[test]
    fn a_clock_that_is_put_back_doubles_no_job() {
        // On 25 October 2026 half past two comes twice in Berlin.
        let first = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
        assert_eq!(first, "2026-10-25T00:30:00+00:00");
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", &first),
            "2026-10-26T01:30:00+00:00"
        );
    }

    #[test]
    fn bad_patterns_and_zones_are_named() {
        let fields = |cron: &str, zone: &str| match Timetable::new(cron, zone) {
            Err(Error::Invalid(list)) => list.into_iter().map(|one| one.field).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(fields("soon", ""), ["schedule.cron"]);
        assert_eq!(fields("61 * * * *", ""), ["schedule.cron"]);
        assert_eq!(
            fields("", "Mars/Olympus"),
            ["schedule.time_zone", "schedule.cron"]
        );
        assert_eq!(fields(&"1,".repeat(200), ""), ["schedule.cron"]);
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
    }
}
