//! Failures that a retry does not run again.

/// Failures of one page that are not run again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The items.
    pub items: Vec<u32>,
    /// Whether it is the page that could not be split.
    pub split: bool,
}

/// How many failures are not run again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Items.
    pub items: u64,
    /// Pages that could not be split.
    pub splits: u64,
}
