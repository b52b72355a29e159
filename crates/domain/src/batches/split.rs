//! The result of splitting a page.

/// What a splitter found at a page's cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The children in order, at most the job's page limit.
    pub children: Vec<Child>,
    /// Where the next page begins; `None` when the batch is exhausted.
    pub next: Option<Vec<u8>>,
    /// The exact number of items in the batch, if the splitter knows it. Only read for the first
    /// page of the root.
    pub total: Option<u64>,
    /// The limit that the splitter was given.
    pub limit: u32,
    /// A hash over the encoded children.
    pub hash: i64,
    /// The encoded children, if the splitter is not reproducible.
    pub stored: Option<Vec<u8>>,
}

/// A child of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    /// A leaf.
    Item,
    /// A sub-batch with its encoded definition and, if known, its exact number of items.
    Batch {
        /// The encoded definition.
        definition: Vec<u8>,
        /// Items below it.
        total: Option<u64>,
    },
}

/// Whether a split was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitOutcome {
    /// It was: the children of the page are known now.
    Recorded,
    /// Another worker recorded it first, or the page is gone: the row says what its children are.
    Stale,
}
