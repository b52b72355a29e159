//! Resource names: `partitions/{partition}/jobs/{job}`.

use std::{fmt, str::FromStr};

/// The longest id, in bytes of UTF-8.
const MAX_ID_BYTES: usize = 128;
/// What no id may contain, beside control characters.
const RESERVED: &str = "/.,:;*?!|()";

/// The name of a job: `partitions/{partition}/jobs/{job}`. Both ids are valid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobName {
    partition: String,
    job: String,
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has another form than `partitions/{partition}/jobs/{job}`.
    #[error("{0:?} is not of the form partitions/PARTITION/jobs/JOB")]
    Form(String),
    /// One of its ids breaks a rule.
    #[error("{what} id {id:?} {problem}")]
    Id {
        /// `partition` or `job`.
        what: &'static str,
        /// The id.
        id: String,
        /// The rule that it breaks.
        problem: &'static str,
    },
}

impl JobName {
    /// Makes a name of two ids.
    ///
    /// # Errors
    /// [`NameError::Id`] if one of them is not 1-128 bytes without control characters and
    /// without any of `/ . , : ; * ? ! | ( )`.
    pub fn new(partition: impl Into<String>, job: impl Into<String>) -> Result<Self, NameError> {
        let (partition, job) = (partition.into(), job.into());
        check_id("partition", &partition)?;
        check_id("job", &job)?;
        Ok(Self { partition, job })
    }

    /// The partition's id.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The job's id.
    pub fn job(&self) -> &str {
        &self.job
    }
}

/// The name of a partition, the parent of its jobs: `partitions/{partition}`.
///
/// # Errors
/// [`NameError::Id`] as in [`JobName::new`].
pub fn partition_name(partition: &str) -> Result<String, NameError> {
    check_id("partition", partition)?;
    Ok(format!("partitions/{partition}"))
}

fn check_id(what: &'static str, id: &str) -> Result<(), NameError> {
    let problem = if id.is_empty() {
        "is empty"
    } else if id.len() > MAX_ID_BYTES {
        "is longer than 128 bytes"
    } else if id.chars().any(char::is_control) {
        "contains a control character"
    } else if id.contains(|c| RESERVED.contains(c)) {
        "contains one of / . , : ; * ? ! | ( )"
    } else {
        return Ok(());
    };
    Err(NameError::Id {
        what,
        id: id.to_owned(),
        problem,
    })
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partitions/{}/jobs/{}", self.partition, self.job)
    }
}

impl FromStr for JobName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let ids = text
            .strip_prefix("partitions/")
            .and_then(|rest| rest.split_once("/jobs/"));
        let Some((partition, job)) = ids else {
            return Err(NameError::Form(text.to_owned()));
        };
        Self::new(partition, job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_names_say_why() {
        for (text, why) in [
            ("jobs/a", "is not of the form"),
            ("partitions/p", "is not of the form"),
            ("partitions//jobs/a", "partition id \"\" is empty"),
            ("partitions/p/jobs/", "job id \"\" is empty"),
            ("partitions/p/jobs/a/b", "contains one of"),
            ("partitions/p/jobs/a.b", "contains one of"),
            ("partitions/p/jobs/a\n", "contains a control character"),
        ] {
            let error = text.parse::<JobName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_length_counts_bytes() {
        assert!(JobName::new("p", "a".repeat(128)).is_ok());
        assert!(JobName::new("p", "a".repeat(129)).is_err());
        assert!(JobName::new("p", "ä".repeat(64)).is_ok());
        assert!(JobName::new("p", "ä".repeat(65)).is_err());
    }

    proptest! {
        #[test]
        fn a_valid_name_survives_its_text(partition in "[^/.,:;*?!|()\\p{C}]{1,30}", job in "[^/.,:;*?!|()\\p{C}]{1,30}") {
            let name = JobName::new(partition, job)?;
            prop_assert_eq!(name.to_string().parse::<JobName>()?, name);
        }
    }
}
