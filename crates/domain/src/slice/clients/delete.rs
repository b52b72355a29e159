//! The deletion of a job, and when it is due.

use crate::{events::event::EventKind, slice::job_slice::JobSlice, values::time::Micros};

impl JobSlice {
    /// Sets when the job is deleted, now that it is settled.
    pub(crate) fn set_expiry(&mut self) {
        // Stores keep 0 for none.
        let expires = self.job.expiry();
        self.job.expires = expires.map(|time| time.max(1));
    }

    /// Stamps and records the deletion. The job's rows go with it, so nothing else changes.
    pub fn delete(&mut self, now: Micros) {
        self.job.revision += 1;
        self.job.updated = now.max(self.job.updated);
        self.record(EventKind::Deleted, self.job.counts.done, "");
    }
}
