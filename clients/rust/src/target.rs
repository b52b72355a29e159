//! Which job a call changes.

use headway::v1::Job;

use crate::JobName;

/// Which job a call changes: the one that has a name now, or exactly the one that was read. Calls
/// take `&JobName` and `&Job`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTarget {
    pub(crate) name: String,
    /// Empty: the uid does not matter.
    pub(crate) uid: String,
}

/// The job that has the name when the server handles the call.
impl From<&JobName> for JobTarget {
    fn from(name: &JobName) -> Self {
        Self {
            name: name.to_string(),
            uid: String::new(),
        }
    }
}

/// The job with this uid. The call fails with `NOT_FOUND` if another job has its name by then.
impl From<&Job> for JobTarget {
    fn from(job: &Job) -> Self {
        Self {
            name: job.name.clone(),
            uid: job.uid.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_that_was_read_brings_its_uid() -> Result<(), crate::NameError> {
        let job = Job {
            name: "partitions/p/jobs/j".to_owned(),
            uid: "u".to_owned(),
            ..Job::default()
        };
        let read = JobTarget::from(&job);
        assert_eq!(
            (read.name.as_str(), read.uid.as_str()),
            ("partitions/p/jobs/j", "u")
        );
        let named = JobTarget::from(&job.name.parse::<JobName>()?);
        assert_eq!((named.name, named.uid.as_str()), (read.name, ""));
        Ok(())
    }
}
