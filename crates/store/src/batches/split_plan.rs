//! What batch workers are told: where to split, and which items to send.

use std::sync::Arc;

use headway_domain::{
    batches::{Bitmap, Forward, Item},
    jobs::JobMeta,
};

use crate::ground::committed::Committed;

/// A page and the definition it is a part of.
#[derive(Debug, Clone)]
pub struct PageSource {
    /// The job.
    pub meta: Arc<JobMeta>,
    /// The page.
    pub page: u32,
    /// Its batch; 1 is the root.
    pub batch: u32,
    /// The encoded definition of the batch.
    pub definition: Vec<u8>,
    /// Where the page begins; `None` for the beginning of the batch.
    pub cursor: Option<Vec<u8>>,
    /// How many children it may have.
    pub limit: u32,
}

/// What to do with a message that asks for a split.
#[derive(Debug, Clone)]
pub enum SplitPlan {
    /// Split the page.
    Split(PageSource),
    /// It was split before: send what is open.
    Dispatch(DispatchPlan),
    /// Nothing: the job or page is gone, held, or somebody else's.
    Nothing(Committed),
}

/// What became of a recorded split.
#[derive(Debug, Clone)]
pub struct SplitResult {
    /// What is to be published now.
    pub committed: Committed,
    /// The items to send, if this call recorded the split; `None` if somebody else was first.
    pub release: Option<ReleasePlan>,
}

/// Items of a page that was just split.
#[derive(Debug, Clone)]
pub struct ReleasePlan {
    /// The job's run.
    pub run: u32,
    /// The job's control counter.
    pub control: u32,
    /// The items to send now.
    pub indexes: Bitmap,
}

/// Items of a page to send.
#[derive(Debug, Clone)]
pub struct DispatchPlan {
    /// Where the page comes from.
    pub source: PageSource,
    /// The run that the items are sent in.
    pub run: u32,
    /// The job's control counter.
    pub control: u32,
    /// The children that are sub-batches.
    pub sub: Bitmap,
    /// How many children the page has.
    pub count: u32,
    /// The hash over the children.
    pub hash: i64,
    /// The encoded children, if the splitter is not reproducible.
    pub children: Option<Vec<u8>>,
    /// The items. Empty when nothing is to be sent.
    pub items: Vec<PlannedItem>,
    /// Items that are to be planned after these: their forwarded payloads are too large to be held
    /// together.
    pub left: Vec<u32>,
    /// What is to be published because items were taken back.
    pub committed: Committed,
}

/// An item to send, and under which fencing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedItem {
    /// Its index in the page.
    pub index: u32,
    /// The fencing attempt.
    pub attempt: u32,
    /// The pipeline step.
    pub stage: u32,
    /// Tries that failed before.
    pub failures: u32,
    /// Whether its start is announced before it runs.
    pub announced: bool,
    /// Whether nothing else may run beside it.
    pub alone: bool,
    /// What it became by a forward.
    pub forward: Option<Forward>,
}

impl From<Item> for PlannedItem {
    fn from(item: Item) -> Self {
        Self {
            index: item.index,
            attempt: item.attempt,
            stage: item.stage,
            failures: item.failures,
            announced: item.is_announced(),
            alone: item.alone,
            forward: item.forward,
        }
    }
}
