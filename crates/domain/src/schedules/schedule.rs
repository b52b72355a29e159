//! Schedules: they create jobs at the times of a cron pattern in a time zone.

use jiff::Timestamp;

use super::{overlap::Overlap, timetable::Timetable};
use crate::{
    error::{Error, FieldViolation},
    jobs::spec::JobSpec,
    values::{
        ids::{JobId, PartitionId},
        limits,
        time::Micros,
    },
};

/// The label that names the schedule of a job.
pub const LABEL: &str = "headway.schedule";
/// Bytes of a schedule's id. It is shorter than other ids because the ids of its jobs add a time.
pub const MAX_SCHEDULE_ID_BYTES: usize = 100;
/// The default of [`Schedule::catch_up_ms`].
pub const DEFAULT_CATCH_UP_MS: u64 = 60_000;
/// Smaller values of [`Schedule::catch_up_ms`] count as this, because the check comes a moment
/// after the time.
pub const MIN_CATCH_UP_MS: u64 = 1000;
/// Times that one check of a schedule handles; the next check handles the rest.
pub const MAX_TIMES_PER_ROUND: usize = 100;

/// A schedule, as clients set it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// When.
    pub timetable: Timetable,
    /// What happens while the job of an earlier time has not ended.
    pub overlap: Overlap,
    /// How late the schedule still creates a job for a missed time, in milliseconds; see
    /// [`MIN_CATCH_UP_MS`].
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
        if self.catch_up_ms > limits::MAX_SPAN_MS {
            wrong.push(FieldViolation {
                field: "schedule.catch_up_window".into(),
                description: "must be 0 to 366 days".into(),
            });
        }
        if !self.job.prerequisites.is_empty() {
            wrong.push(FieldViolation {
                field: "schedule.spec.prerequisites".into(),
                description: "must be empty: every job of a schedule would need the same ones"
                    .into(),
            });
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Error::Invalid(wrong)),
        }
    }

    /// The times that a check of the schedule handles: those from `due` up to now that are not too
    /// late. Also where the next check begins.
    pub fn due(&self, due: Micros, now: Micros) -> Due {
        let window = self.catch_up_ms.max(MIN_CATCH_UP_MS);
        let window = i64::try_from(window.saturating_mul(1000)).unwrap_or(i64::MAX);
        let mut found = Due::default();
        let oldest = now.saturating_sub(window);
        let mut time = Some(due);
        if due < oldest {
            found.missed += 1;
            // Times that are too late are not counted one by one: there may be years of seconds.
            time = self.timetable.next_after(oldest - 1);
        }
        while let Some(at) = time.filter(|at| *at <= now) {
            if found.times.len() >= MAX_TIMES_PER_ROUND {
                break;
            }
            found.times.push(at);
            time = self.timetable.next_after(at);
        }
        found.next = time;
        found
    }
}

/// The result of one check of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Times to create jobs for, oldest first.
    pub times: Vec<Micros>,
    /// 1 if some times were too late, else 0.
    pub missed: u64,
    /// The next time.
    pub next: Option<Micros>,
}

/// A schedule's name, `partitions/{partition}/schedules/{schedule}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleName {
    /// The partition.
    pub partition: PartitionId,
    /// The id within it, at most [`MAX_SCHEDULE_ID_BYTES`].
    pub schedule: JobId,
}

impl ScheduleName {
    /// The id of the job for a time. It depends on the time alone, so each time has one job,
    /// however often the schedule is checked.
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

    /// The id of a job that a client asks for now. It differs from the ids of the timetable and
    /// from those of other microseconds.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jobs::spec::{TaskSpec, Work},
        values::ids::PipeName,
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
        // Down for ten minutes: the schedule handles the last two and a half.
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
        assert_eq!(due.times.len(), MAX_TIMES_PER_ROUND);
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
