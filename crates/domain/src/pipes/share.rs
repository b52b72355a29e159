//! A job's share of its pipe: how many items may be out, and how many it may send to a pipe with a
//! limit per second.

/// A job's share of its pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Items that may be out at once.
    pub allowance: u32,
    /// Items that it may send in addition; `None` if the pipe has no limit per second.
    pub grant: Option<u32>,
}

impl Share {
    /// A share of a pipe without a limit per second.
    pub fn of(allowance: u32) -> Self {
        Self {
            allowance,
            grant: None,
        }
    }
}
