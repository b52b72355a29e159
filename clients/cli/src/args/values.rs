//! Values of arguments, and how they are read.

use std::time::Duration;

use clap::ValueEnum;
use headway::v1::{EventKind, JobState};
use jiff::{Span, SpanRelativeTo, civil::DateTime, tz::TimeZone};
use prost_types::Timestamp;

/// A state in which a job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetentionState {
    Completed,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateArg {
    Waiting,
    Active,
    Paused,
    Completed,
    Failed,
    Cancelled,
}

impl From<StateArg> for JobState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Waiting => Self::Waiting,
            StateArg::Active => Self::Active,
            StateArg::Paused => Self::Paused,
            StateArg::Completed => Self::Completed,
            StateArg::Failed => Self::Failed,
            StateArg::Cancelled => Self::Cancelled,
        }
    }
}

/// Reads `KEY=VALUE`; the value may contain further `=`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("not of the form KEY=VALUE".to_owned()),
    }
}

/// Reads a duration above zero, such as `500ms`, `90s`, `1h 30m` or `1d`; a day has 24 hours, a
/// week 7 days.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |_| "not a duration such as 500ms, 90s, 1h30m or 1d".to_owned();
    let span: Span = text.parse().map_err(wrong)?;
    let days = SpanRelativeTo::days_are_24_hours();
    let duration = span.to_duration(days).map_err(wrong)?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be above zero".to_owned()),
    }
}

/// Reads an expiry, for one state or for all: `failed=end+P30D`, `none`. The server reads the
/// expiry itself.
pub(crate) fn expiry(text: &str) -> Result<(Option<RetentionState>, String), String> {
    let Some((state, expiry)) = text.split_once('=') else {
        return Ok((None, text.to_owned()));
    };
    let state = match state {
        "completed" => RetentionState::Completed,
        "failed" => RetentionState::Failed,
        "cancelled" => RetentionState::Cancelled,
        _ => return Err("the state is none of completed, failed and cancelled".to_owned()),
    };
    Ok((Some(state), expiry.to_owned()))
}

/// Reads a point in time, such as `2030-01-31T08:00:00Z`; without a zone it is one of the system's,
/// and a date is its beginning there.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_in(text, &TimeZone::system())
}

fn moment_in(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = || "not a time such as 2030-01-31T08:00:00Z, 2030-01-31T08:00 or 2030-01-31";
    let time: jiff::Timestamp = match text.parse() {
        Ok(time) => time,
        Err(_) => {
            let local: DateTime = text.parse().map_err(|_| wrong())?;
            let zoned = local.to_zoned_datetime(zone.clone()).map_err(|_| wrong())?;
            zoned.timestamp()
        }
    };
    Ok(Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

/// Reads a kind of event, such as `job-created` or `schedule-paused`. `job-` may be left out.
pub(crate) fn event_kind(text: &str) -> Result<EventKind, String> {
    let known = (1..64).filter_map(|code| EventKind::try_from(code).ok());
    let known: Vec<_> = known.map(|kind| (kind, event_kind_name(kind))).collect();
    let wanted = text.to_ascii_lowercase().replace('_', "-");
    let of_job = format!("job-{wanted}");
    let found = known
        .iter()
        .find(|(_, name)| *name == wanted || *name == of_job);
    found.map(|(kind, _)| *kind).ok_or_else(|| {
        let names = known.iter().map(|(_, name)| name.as_str());
        format!("is none of {}", names.collect::<Vec<_>>().join(", "))
    })
}

fn event_kind_name(kind: EventKind) -> String {
    let name = kind.as_str_name().to_ascii_lowercase().replace('_', "-");
    name.strip_prefix("event-kind-")
        .map_or(name.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1m 5s"), Ok(Duration::from_secs(65)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("1w 1d 1h"), Ok(Duration::from_secs(694_800)));
        for bad in ["", "5", "0s", "-5s", "soon"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_are_read() {
        let day = Timestamp {
            seconds: 86_400,
            nanos: 0,
        };
        assert_eq!(moment("1970-01-02T01:00:00+01:00"), Ok(day));
        let east = TimeZone::fixed(jiff::tz::offset(1));
        for local in [
            "1970-01-02T01:00:00",
            "1970-01-02T01:00",
            "1970-01-02 01:00",
        ] {
            assert_eq!(moment_in(local, &east), Ok(day), "{local}");
        }
        let beginning = moment_in("1970-01-02", &TimeZone::UTC);
        assert_eq!(beginning, Ok(day));
        for bad in ["", "tomorrow", "2030-02-31", "2030-01-31T25:00:00"] {
            assert!(moment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn kinds_of_events_are_read() {
        for text in ["job-created", "created"] {
            assert_eq!(event_kind(text), Ok(EventKind::JobCreated));
        }
        assert_eq!(
            event_kind("schedule-created"),
            Ok(EventKind::ScheduleCreated)
        );
        assert_eq!(
            event_kind("JOB_FAILURE_RECORDED"),
            Ok(EventKind::JobFailureRecorded)
        );
        let why = event_kind("born").unwrap_err();
        assert!(why.contains("created") && why.contains("settled"), "{why}");
    }

    #[test]
    fn pairs_are_read() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
