//! Batches.

use crate::values::limits;

/// A batch: a definition whose children are found a page at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number within the job; 1 is the root.
    pub number: u32,
    /// The batch it is a child of.
    pub parent: Option<u32>,
    /// Levels below the root.
    pub depth: u32,
    /// The encoded definition of a sub-batch. Present only when the row is new: the root's is the
    /// job's body, and nothing that changes a job reads the others.
    pub definition: Option<Vec<u8>>,
    /// Whether its size, or that of a batch above it, was known before it was split.
    pub declared: bool,
    /// Whether its last page was found.
    pub exhausted: bool,
    /// Pages of it that are not finished.
    pub open_pages: u32,
    /// Finished pages of it that are retained.
    pub retained_pages: u32,
    /// Sub-batches of it that still have a row.
    pub children: u32,
    /// Done items of folded pages and folded sub-batches.
    pub done: u64,
    /// Items found directly in it so far.
    pub items: u64,
    /// Whether it is done and folded, and its row retained only for views.
    pub finished: bool,
}

impl Batch {
    /// Whether its row is retained when it is done. That holds for the first batches of a job, on
    /// the two levels below the root.
    pub fn is_retained(&self) -> bool {
        (1..=limits::MAX_RETAINED_DEPTH).contains(&self.depth)
            && self.number <= limits::MAX_RETAINED_BATCHES
    }

    /// Whether it will not change again, so that it folds into its parent.
    pub fn is_finished(&self) -> bool {
        !self.finished
            && self.exhausted
            && self.open_pages == 0
            && self.retained_pages == 0
            && self.children == 0
    }
}
