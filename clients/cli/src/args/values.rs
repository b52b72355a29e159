//! Values of arguments, and how they are read.

use std::time::Duration;

use clap::ValueEnum;
use headway::v1::JobState;
use jiff::SignedDuration;
use prost_types::Timestamp;

/// A state in which a job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionState {
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

/// Reads a duration above zero, such as `500ms`, `90s` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "not a duration such as 500ms, 90s or 1h30m".to_owned())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be above zero".to_owned()),
    }
}

/// Reads an expiry, for one state or for all: `failed=end+P30D`, `none`. The server reads the expiry itself.
pub fn expiry(text: &str) -> Result<(Option<RetentionState>, String), String> {
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

/// Reads a point in time, such as `2030-01-31T08:00:00Z`.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "not a time such as 2030-01-31T08:00:00Z".to_owned())?;
    Ok(Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1m 5s"), Ok(Duration::from_secs(65)));
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
        for bad in ["", "tomorrow", "2030-01-31", "2030-01-31T08:00:00"] {
            assert!(moment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pairs_are_read() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
