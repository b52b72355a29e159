//! Changes to the spec of an accepted job: some fields, never its work.

use std::sync::Arc;

use crate::{
    events::event::EventKind, jobs::update::JobUpdate, slice::job_slice::JobSlice, values::limits,
};

impl JobSlice {
    /// Changes fields of the job's spec in any state, and tells whether any value is new. The new
    /// values must be valid.
    pub fn update(&mut self, update: &JobUpdate) -> bool {
        let (spec, changed) = update.apply(&self.job.meta.spec);
        if changed.is_empty() {
            return false;
        }
        self.changed = true;
        let meta = Arc::make_mut(&mut self.job.meta);
        meta.spec = spec;
        meta.version = meta.version.saturating_add(1);
        if self.job.settled.is_some() {
            self.set_expiry();
        }
        let mut what = changed.join(", ");
        what.truncate(limits::MAX_HEADER_BYTES);
        self.record(EventKind::Updated, 0, &what);
        true
    }
}
