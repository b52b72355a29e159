//! Failures of a run that its retry does not run again, but carries over.

/// Failures of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageFailures {
    /// The items that failed.
    pub items: Vec<u32>,
    /// Whether the page could not be split.
    pub split: bool,
}

/// How many failures are carried over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CarriedCounts {
    /// Items.
    pub items: u64,
    /// Pages that could not be split.
    pub splits: u64,
}
