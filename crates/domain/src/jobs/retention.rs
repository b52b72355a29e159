//! How long a job is retained after it ended.

use std::{fmt, str::FromStr};

use jiff::{Span, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::state::JobState;
use crate::values::time::Micros;

/// The form of an expiry, for error messages.
pub const GRAMMAR: &str = "must be none, a time such as 2030-01-31T08:00:00Z, or end, create or update with a duration of ISO 8601, such as end+P7D or create+PT12H";

/// When jobs are deleted, by their final state. Unset fields follow the partition's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// For completed jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Expiry>,
    /// For failed jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Expiry>,
    /// For cancelled jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Expiry>,
}

/// When a job is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Expiry {
    /// Never.
    Never,
    /// At this time, or at the job's end if that is later.
    At(Micros),
    /// A duration after an event of the job, in UTC.
    After(Since, Length),
}

/// The event that an expiry counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The end of the job.
    End,
    /// Its creation.
    Create,
    /// Its last change, which is when the last of its items came back.
    Update,
}

/// A duration of ISO 8601, as it was written. Days, months and years follow the calendar.
#[derive(Debug, Clone)]
pub struct Length {
    text: String,
    span: Span,
}

impl PartialEq for Length {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Length {}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "none" {
            return Ok(Self::Never);
        }
        let Some((since, length)) = text
            .split_once('+')
            .filter(|(since, _)| !since.contains('T'))
        else {
            let time: Timestamp = text.parse().map_err(|_| GRAMMAR)?;
            return Ok(Self::At(time.as_microsecond()));
        };
        let since = match since {
            "end" => Since::End,
            "create" => Since::Create,
            "update" => Since::Update,
            _ => return Err(GRAMMAR),
        };
        let span: Span = length.parse().map_err(|_| GRAMMAR)?;
        if !length.starts_with('P') || span.is_negative() {
            return Err(GRAMMAR);
        }
        Ok(Self::After(
            since,
            Length {
                text: length.to_owned(),
                span,
            },
        ))
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("none"),
            Self::At(time) => match Timestamp::from_microsecond(*time) {
                Ok(time) => time.fmt(f),
                Err(_) => f.write_str("none"),
            },
            Self::After(since, length) => {
                let since = match since {
                    Since::End => "end",
                    Since::Create => "create",
                    Since::Update => "update",
                };
                write!(f, "{since}+{}", length.text)
            }
        }
    }
}

impl TryFrom<String> for Expiry {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
    }
}

impl From<Expiry> for String {
    fn from(expiry: Expiry) -> Self {
        expiry.to_string()
    }
}

impl Retention {
    /// These values, with those of `default` where this one sets none.
    pub fn or(self, default: &Self) -> Self {
        Self {
            completed: self.completed.or_else(|| default.completed.clone()),
            failed: self.failed.or_else(|| default.failed.clone()),
            cancelled: self.cancelled.or_else(|| default.cancelled.clone()),
        }
    }

    /// When an ended job is deleted; never if no value is set.
    pub(crate) fn expiry_of(&self, job: &EndedJob) -> Option<Micros> {
        let expiry = match job.state {
            JobState::Completed => &self.completed,
            JobState::Failed => &self.failed,
            JobState::Cancelled => &self.cancelled,
            JobState::Waiting | JobState::Active | JobState::Paused => &None,
        };
        match expiry.as_ref()? {
            Expiry::Never => None,
            Expiry::At(time) => Some(*time),
            Expiry::After(since, length) => {
                let from = match since {
                    Since::End => job.ended?,
                    Since::Create => job.created,
                    Since::Update => job.updated.max(job.settled?),
                };
                let from = Timestamp::from_microsecond(from).ok()?;
                // A time beyond the calendar never comes.
                let until = from
                    .to_zoned_datetime(TimeZone::UTC)
                    .checked_add(length.span)
                    .ok()?;
                Some(until.timestamp().as_microsecond())
            }
        }
    }
}

/// What the expiry of a job depends on.
pub(crate) struct EndedJob {
    pub(crate) state: JobState,
    pub(crate) created: Micros,
    pub(crate) updated: Micros,
    pub(crate) ended: Option<Micros>,
    pub(crate) settled: Option<Micros>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Micros = 3600 * 1_000_000;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "none",
            "2030-01-31T08:00:00Z",
            "end+P7D",
            "create+PT12H",
            "update+P1Y2M",
            "end+P1DT6H",
            "end+PT0S",
        ] {
            let expiry: Expiry = text.parse().expect(text);
            assert_eq!(expiry.to_string(), text);
        }
        // Offsets have a plus too.
        assert_eq!("1970-01-01T02:00:00+01:00".parse(), Ok(Expiry::At(HOUR)));
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "",
            "never",
            "end",
            "end+",
            "end+7",
            "end+7D",
            "end-P7D",
            "end+-P7D",
            "start+P7D",
            "P7D",
            "2030-01-31",
            "end+P7D ",
        ] {
            assert_eq!(text.parse::<Expiry>(), Err(GRAMMAR), "{text:?}");
        }
    }

    #[test]
    fn a_job_says_what_it_wants_and_the_partition_the_rest() {
        let read = |text: &str| Some(text.parse::<Expiry>().unwrap());
        let job = Retention {
            failed: read("none"),
            ..Retention::default()
        };
        let default = Retention {
            completed: read("end+P1D"),
            failed: read("end+P2D"),
            cancelled: None,
        };
        let both = job.or(&default);
        assert_eq!(both.completed, default.completed);
        assert_eq!((both.failed, both.cancelled), (read("none"), None));
    }
}
