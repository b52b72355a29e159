//! The job's share of its pipe.

use super::job_slice::JobSlice;
use crate::pipes::share::Share;

impl JobSlice {
    /// Gives the job another share of its pipe. One that has ended since shares were divided needs none, and does not change any more.
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

    /// Gives a job whose window was widened at least what a new one may have out, for its share was measured by the old window; not
    /// where pipes have limits.
    pub fn widen_allowance(&mut self, allowance: u32) {
        if !self.moment.limited {
            self.job.allowance = self.job.allowance.max(allowance);
        }
    }

    /// Takes its share from a job that begins to send again: other jobs may have what it had.
    pub(crate) fn reset_allowance(&mut self) {
        if self.moment.limited {
            self.job.allowance = 0;
        }
    }

    /// Notes that so many items are sent.
    pub(crate) fn spend_tokens(&mut self, items: u64) {
        if let Some(tokens) = &mut self.job.tokens {
            *tokens = tokens.saturating_sub(u32::try_from(items).unwrap_or(u32::MAX));
        }
    }
}
