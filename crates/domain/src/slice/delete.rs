//! The deletion of a job.

use super::job_slice::JobSlice;
use crate::{events::event::EventKind, values::time::Micros};

impl JobSlice {
    /// Stamps and records the deletion. The job's rows go with it, so nothing else changes.
    pub fn delete(&mut self, now: Micros) {
        self.job.revision += 1;
        self.job.updated = now.max(self.job.updated);
        self.record(EventKind::Deleted, self.job.counts.done, "");
    }
}
