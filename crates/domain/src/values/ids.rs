//! Names and identities: each a newtype that can only hold a valid value.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::limits::MAX_ID_BYTES;
use crate::error::Error;

const FORBIDDEN: &[char] = &['/', '.', ',', ':', ';', '*', '?', '!', '|', '(', ')'];

fn check_id(field: &'static str, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        return Err(Error::field(field, "must not be empty"));
    }
    if value.len() > MAX_ID_BYTES {
        return Err(Error::field(
            field,
            format!(
                "must be at most {MAX_ID_BYTES} bytes of UTF-8, and has {}",
                value.len()
            ),
        ));
    }
    if let Some(bad) = value
        .chars()
        .find(|c| c.is_control() || FORBIDDEN.contains(c))
    {
        return Err(Error::field(
            field,
            format!(
                "must not contain {bad:?}: control characters and / . , : ; * ? ! | ( ) are not allowed"
            ),
        ));
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:path, stored: $stored:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text. The error names the offending rule.
            pub fn new(value: impl Into<String>) -> Result<Self, Error> {
                let value = value.into();
                $check($field, &value)?;
                Ok(Self(value))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(value: String) -> Result<Self, Error> {
                $stored($field, &value)?;
                Ok(Self(value))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

text_id!(
    /// A tenant's namespace. Nothing crosses it. 1-128 bytes.
    PartitionId, "parent", check_id, stored: check_id
);
text_id!(
    /// A job's id within its partition. 1-128 bytes.
    JobId, "job_id", check_id, stored: check_id
);
text_id!(
    /// The name of a user's pipe: 1-128 ASCII letters, digits, `_ - .`, and not dots alone.
    PipeName, "pipe", check_pipe, stored: check_stored_pipe
);

fn check_pipe(field: &'static str, value: &str) -> Result<(), Error> {
    check_stored_pipe(field, value)?;
    // Programs that speak HTTP take `.` and `..` in an address for places, and resolve them.
    match value.bytes().all(|byte| byte == b'.') {
        true => Err(Error::field(field, "must not consist of dots only")),
        false => Ok(()),
    }
}

/// Earlier versions took names of dots only, so such names may be stored.
fn check_stored_pipe(field: &'static str, value: &str) -> Result<(), Error> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if value.is_empty() || value.len() > MAX_ID_BYTES || !value.bytes().all(allowed) {
        return Err(Error::field(
            field,
            format!("must be 1 to {MAX_ID_BYTES} ASCII letters, digits, '_', '-' or '.'"),
        ));
    }
    Ok(())
}

impl PartitionId {
    /// The partition of the deployment's own events: changes to things without a partition, such as
    /// job types. It has a dot, so no client can name it as a partition of jobs.
    pub fn of_deployment() -> Self {
        Self(DEPLOYMENT.to_owned())
    }
}

/// See [`PartitionId::of_deployment`].
const DEPLOYMENT: &str = "headway.deployment";

/// `partitions/{partition}/jobs/{job}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobName {
    /// The partition.
    pub partition: PartitionId,
    /// The id within it.
    pub job: JobId,
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partitions/{}/jobs/{}", self.partition, self.job)
    }
}

impl FromStr for JobName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let mut parts = name.split('/');
        let (Some("partitions"), Some(partition), Some("jobs"), Some(job), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(Error::field(
                "name",
                "must have the form partitions/{partition}/jobs/{job}",
            ));
        };
        Ok(Self {
            partition: PartitionId::new(partition)?,
            job: JobId::new(job)?,
        })
    }
}

/// Reads `partitions/{partition}`.
pub fn parse_parent(parent: &str) -> Result<PartitionId, Error> {
    match parent.split_once('/') {
        Some(("partitions", partition)) => PartitionId::new(partition),
        _ => Err(Error::field(
            "parent",
            "must have the form partitions/{partition}",
        )),
    }
}

/// A job's random identity. A job that is created again under an old name has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobUid(pub Uuid);

impl JobUid {
    /// Reads the 16 bytes that messages carry.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// The logical shard of the job's reports, `0..shards`. `shards` must not be 0.
    pub fn shard(self, shards: u16) -> u16 {
        let (high, low) = self.0.as_u64_pair();
        u16::try_from((high ^ low) % u64::from(shards.max(1))).unwrap_or(0)
    }

    /// The event shard, 0 to 255.
    pub fn event_key(self) -> u8 {
        self.0.as_bytes()[15]
    }
}

impl fmt::Display for JobUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_rules() {
        assert!(JobId::new("nightly run 7_é").is_ok());
        assert!(JobId::new("x".repeat(128)).is_ok());
        for bad in ["", "a/b", "a.b", "tab\t", "é\u{85}", "a(b", "q?"] {
            assert!(JobId::new(bad).is_err(), "{bad:?}");
        }
        assert!(JobId::new("x".repeat(129)).is_err());
        assert!(JobId::new("é".repeat(65)).is_err());
    }

    #[test]
    fn names_round_trip() {
        let name: JobName = "partitions/acme/jobs/export-1".parse().unwrap();
        assert_eq!(name.to_string(), "partitions/acme/jobs/export-1");
        for bad in [
            "",
            "jobs/x",
            "partitions/a/jobs/b/c",
            "partitions/a/jobs/",
            "partitions//jobs/b",
        ] {
            assert!(bad.parse::<JobName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pipes_cannot_name_system_queues() {
        assert!(PipeName::new("documents.export").is_ok());
        for bad in ["", "a b", "a/b", "a#", "a*"] {
            assert!(PipeName::new(bad).is_err());
        }
    }

    #[test]
    fn ids_are_not_dots_alone() {
        for dots in [".", "..", "..."] {
            assert!(PartitionId::new(dots).is_err(), "{dots}");
            assert!(JobId::new(dots).is_err(), "{dots}");
            let Err(Error::Invalid(list)) = PipeName::new(dots) else {
                panic!("{dots} was taken");
            };
            assert_eq!(list[0].description, "must not consist of dots only");
            // What an earlier version stored can be read.
            assert!(PipeName::try_from(dots.to_owned()).is_ok(), "{dots}");
        }
        assert!(PipeName::new(".a").is_ok() && PipeName::new("a..").is_ok());
    }
}
