//! The job that a call is about.

use headway_domain::{Error, JobName, JobSlice, JobUid};

/// A job by its name and, where the caller says it, its uid: a job that was deleted and created
/// again has the name, and another uid.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a JobName,
    /// Only the job with this uid; none for any.
    pub uid: Option<JobUid>,
}

impl<'a> From<&'a JobName> for Target<'a> {
    fn from(name: &'a JobName) -> Self {
        Self { name, uid: None }
    }
}

impl Target<'_> {
    /// The job once it is locked.
    ///
    /// # Errors
    /// [`Error::JobNotFound`] if it is gone, or is another one.
    pub(crate) fn locked(self, slice: Option<JobSlice>) -> Result<JobSlice, Error> {
        slice
            .filter(|slice| self.is(slice))
            .ok_or_else(|| Error::JobNotFound(self.name.clone()))
    }

    /// Whether this locked job is the one that is meant.
    pub(crate) fn is(self, slice: &JobSlice) -> bool {
        self.uid.is_none_or(|uid| uid == slice.job().meta.uid)
    }
}
