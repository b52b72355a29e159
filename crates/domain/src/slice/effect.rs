//! Messages and broadcasts that follow the commit of a transaction.

/// A message that follows a commit. All but [`Effect::Control`] stay in the outbox until the broker
/// confirms them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask a batch worker to split a page.
    Split {
        /// The page.
        page: u32,
        /// The fencing attempt.
        attempt: u32,
    },
    /// Ask a batch worker to send items of a page.
    Dispatch {
        /// The page.
        page: u32,
        /// The children, ascending. Never empty.
        indexes: Vec<u32>,
    },
    /// Tell every worker what to do with the job's items.
    Control {
        /// The control counter.
        control: u32,
        /// What to do.
        disposition: Disposition,
    },
}

/// What a worker does with the items of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Runs them.
    Run,
    /// Reports them as parked.
    Park,
    /// Reports them as discarded and cancels running ones.
    Discard,
}
