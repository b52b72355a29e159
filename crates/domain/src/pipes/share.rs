//! A job's share of its pipe: what it may have out, and how much more it may send where a pipe takes only so many items a second.

/// What a job may send to its pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Items that may be out at once.
    pub allowance: u32,
    /// Items that it may send beside those that it may send already; `None` where the pipe has no limit of items per second.
    pub grant: Option<u32>,
}

impl Share {
    /// A share of a pipe that takes as many items a second as it can.
    pub fn of(allowance: u32) -> Self {
        Self {
            allowance,
            grant: None,
        }
    }
}
