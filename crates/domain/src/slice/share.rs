//! The job's share of its pipe.

use super::job_slice::JobSlice;
use crate::pipes::share::Share;

impl JobSlice {
    /// Gives the job another share of its pipe. A job that has ended meanwhile needs none and stays
    /// as it is.
    pub fn set_share(&mut self, share: Share) {
        if self.job.phase.is_final() {
            return;
        }
        let tokens = share
            .grant
            .map(|grant| self.job.tokens.unwrap_or(0).saturating_add(grant));
        if (self.job.allowance, self.job.tokens) == (share.allowance, tokens) {
            return;
        }
        self.changed = true;
        self.job.allowance = share.allowance;
        self.job.tokens = tokens;
    }

    /// Gives a job with a wider window at least the allowance of a new job, because its share was
    /// computed for the old window. Not on pipes with limits.
    pub fn widen_allowance(&mut self, allowance: u32) {
        if !self.moment.limited {
            self.job.allowance = self.job.allowance.max(allowance);
        }
    }

    /// Resets the allowance of a job that begins to send again on a pipe with limits: other jobs
    /// may have its share now.
    pub(crate) fn reset_allowance(&mut self) {
        if self.moment.limited {
            self.job.allowance = 0;
        }
    }

    /// Takes tokens for items that are sent.
    pub(crate) fn spend_tokens(&mut self, items: u64) {
        if let Some(tokens) = &mut self.job.tokens {
            *tokens = tokens.saturating_sub(u32::try_from(items).unwrap_or(u32::MAX));
        }
    }
}
