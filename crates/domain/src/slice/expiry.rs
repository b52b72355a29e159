//! When the job is deleted.

use super::job_slice::JobSlice;

impl JobSlice {
    /// Sets when the job is deleted, now that nothing of it runs any more.
    pub(crate) fn set_expiry(&mut self) {
        // Stores keep 0 for none.
        let expires = self.job.expiry();
        self.job.expires = expires.map(|time| time.max(1));
    }
}
