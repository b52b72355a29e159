//! Rows below a job: batches, pages and the sparse rows of items in an exceptional state.

use uuid::Uuid;

use crate::{Micros, bitmap::Bitmap, limits};

/// A batch: a definition whose children are found a page at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number within the job; 1 is the root.
    pub number: u32,
    /// The batch it is a child of.
    pub parent: Option<u32>,
    /// Steps below the root.
    pub depth: u32,
    /// The encoded definition of a sub-batch. Present only when the row is new: the root's is the
    /// job's body, and nothing that changes a job reads the others.
    pub definition: Option<Vec<u8>>,
    /// Whether its size, or that of a batch above it, was known beforehand.
    pub declared: bool,
    /// Whether its last page was found.
    pub exhausted: bool,
    /// Pages of it that are not finished.
    pub open_pages: u32,
    /// Finished pages of it that are kept.
    pub kept_pages: u32,
    /// Sub-batches of it that still have a row.
    pub children: u32,
    /// Done items of folded pages and folded sub-batches.
    pub done: u64,
    /// Items found directly in it so far.
    pub items: u64,
    /// Whether it is done and folded, and its row only kept to be looked at.
    pub finished: bool,
}

impl Batch {
    /// Whether its row is kept when it is done: on the two levels below the root, for the first batches of a job.
    pub fn is_kept(&self) -> bool {
        (1..=limits::KEPT_DEPTH).contains(&self.depth) && self.number <= limits::KEPT_BATCHES
    }

    /// Whether nothing of it will ever change again, so that it folds into its parent.
    pub fn is_finished(&self) -> bool {
        !self.finished
            && self.exhausted
            && self.open_pages == 0
            && self.kept_pages == 0
            && self.children == 0
    }
}

/// Where a page is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageState {
    /// Its children are not known and nobody was asked for them.
    Unsplit,
    /// A batch worker was asked to split it.
    Splitting,
    /// Its children are known and some are open.
    Open,
    /// Every child ended, some in failure or discarded.
    Retained,
    /// It could not be split.
    SplitFailed,
}

/// What a page needs from `advance`; indexed, so that the pages to act on are found without reading the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// Nothing until a report comes.
    Nothing,
    /// To be split.
    Split,
    /// To be split once a timer is due.
    SplitLater,
    /// Has items that were never released.
    Release,
    /// Has parked items, and perhaps some that were never released.
    Unpark,
    /// Kept for a later run.
    Keep,
}

/// Some consecutive children of one batch, found at one cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its number within the job.
    pub number: u32,
    /// The batch whose children it holds.
    pub batch: u32,
    /// Depth of that batch.
    pub depth: u32,
    /// Where it is in its life.
    pub state: PageState,
    /// Children, at most 4096.
    pub count: u32,
    /// Children below this index were released in the present run, but for those in `again`.
    pub released: u32,
    /// Items below `released` that failed and are to be released once more.
    pub again: Bitmap,
    /// Children that are sub-batches.
    pub sub: Bitmap,
    /// Items that ended well.
    pub done: Bitmap,
    /// Items that failed.
    pub failed: Bitmap,
    /// Items that were dropped.
    pub discarded: Bitmap,
    /// Items set aside while the job was paused.
    pub parked: Bitmap,
    /// The run in which it was opened last.
    pub run: u32,
    /// The fencing attempt of its items without a row, and of its split.
    pub attempt: u32,
    /// How often its split failed in a passing way.
    pub tries: u32,
    /// When it may be split again.
    pub due: Option<Micros>,
    /// Whether its batch's size was known beforehand.
    pub declared: bool,
    /// When something of it was last released or reported.
    pub touched: Micros,
    /// The broker epoch in which it was last released.
    pub epoch: i64,
    /// What only the splitting reads; present when the row is new or was just split.
    pub content: Option<PageContent>,
}

/// What a splitter said about a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageContent {
    /// Where the splitter begins; `None` for the beginning of the batch.
    pub cursor: Option<Vec<u8>>,
    /// The limit that the splitter was given, 0 until split.
    pub limit: u32,
    /// A hash over the children, to find a splitter that answers differently the second time.
    pub hash: i64,
    /// The children, encoded, if the splitter is not reproducible.
    pub children: Option<Vec<u8>>,
}

impl Page {
    /// A page to be split.
    pub fn unsplit(
        number: u32,
        batch: &Batch,
        run: u32,
        now: Micros,
        cursor: Option<Vec<u8>>,
    ) -> Self {
        Self {
            number,
            batch: batch.number,
            depth: batch.depth,
            state: PageState::Unsplit,
            count: 0,
            released: 0,
            again: Bitmap::default(),
            sub: Bitmap::default(),
            done: Bitmap::default(),
            failed: Bitmap::default(),
            discarded: Bitmap::default(),
            parked: Bitmap::default(),
            run,
            attempt: 0,
            tries: 0,
            due: None,
            declared: batch.declared,
            touched: now,
            epoch: 0,
            content: Some(PageContent {
                cursor,
                ..PageContent::default()
            }),
        }
    }

    /// Children that are items.
    pub fn items(&self) -> u32 {
        self.count.saturating_sub(self.sub.len())
    }

    /// Whether the child is an item without an outcome.
    pub fn is_open(&self, index: u32) -> bool {
        index < self.count
            && !self.sub.contains(index)
            && !self.done.contains(index)
            && !self.failed.contains(index)
            && !self.discarded.contains(index)
    }

    /// Whether the child is an item without an outcome that was released in the present run.
    pub fn is_released(&self, index: u32) -> bool {
        self.is_open(index) && index < self.released && !self.again.contains(index)
    }

    /// Whether the child is a released item that was not set aside: in a pipe, at a worker, leased or delayed.
    pub fn is_out(&self, index: u32) -> bool {
        self.is_released(index) && !self.parked.contains(index)
    }

    /// Whether items may be left to release.
    pub fn has_unreleased(&self) -> bool {
        self.released < self.count || !self.again.is_empty()
    }

    /// Items without an outcome, ascending.
    pub fn open_indexes(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.count).filter(|index| self.is_open(*index))
    }

    /// How many items have no outcome.
    pub fn open_items(&self) -> u32 {
        let ended = [&self.done, &self.failed, &self.discarded];
        let ended: u32 = ended.into_iter().map(Bitmap::len).sum();
        self.items().saturating_sub(ended)
    }

    /// What `advance` has to do with it.
    pub fn todo(&self) -> Todo {
        match self.state {
            PageState::Unsplit if self.due.is_some() => Todo::SplitLater,
            PageState::Unsplit => Todo::Split,
            PageState::Splitting => Todo::Nothing,
            PageState::Open if !self.parked.is_empty() => Todo::Unpark,
            PageState::Open if self.has_unreleased() => Todo::Release,
            PageState::Open => Todo::Nothing,
            PageState::Retained | PageState::SplitFailed => Todo::Keep,
        }
    }
}

/// An item in an exceptional state: waiting to be tried again, leased, forwarded, suspected,
/// or reporting fractions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its page.
    pub page: u32,
    /// Its index in the page.
    pub index: u32,
    /// The fencing attempt.
    pub attempt: u32,
    /// The pipeline step.
    pub stage: u32,
    /// Tries that failed at this stage.
    pub failures: u32,
    /// Starts without an outcome: those that were announced, and one that is presumed when its message is
    /// redelivered for the first time.
    pub starts: u32,
    /// Whether a start of the present attempt is among them.
    pub started: bool,
    /// Whether nothing else may run beside it, because it was running when two processes died.
    pub alone: bool,
    /// When it is tried again.
    pub due: Option<Micros>,
    /// Who runs it under a lease, and until when.
    pub lease: Option<Lease>,
    /// How far it is, in millionths.
    pub fraction: u32,
    /// What it became by a forward.
    pub forward: Option<Forward>,
}

/// A long-running item's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The worker's session.
    pub session: Uuid,
    /// When it ends unless renewed.
    pub until: Micros,
}

/// The next step of an item in a pipeline of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The pipe.
    pub pipe: String,
    /// The task type.
    pub task_type: String,
    /// The input.
    pub payload: Vec<u8>,
    /// Its media type.
    pub content_type: String,
}

impl Item {
    /// The state of an item that has no row.
    pub fn ordinary(page: &Page, index: u32) -> Self {
        Self {
            page: page.number,
            index,
            attempt: page.attempt,
            stage: 0,
            failures: 0,
            starts: 0,
            started: false,
            alone: false,
            due: None,
            lease: None,
            fraction: 0,
            forward: None,
        }
    }

    /// Whether its worker announces its start before it runs.
    pub fn is_announced(&self) -> bool {
        self.starts > 0
    }

    /// Ends the present try without an outcome and without blame: its start counts no longer, and nothing that is
    /// still said of it fits.
    pub(crate) fn take_back(&mut self) {
        self.attempt += 1;
        self.lease = None;
        if std::mem::take(&mut self.started) {
            self.starts = self.starts.saturating_sub(1);
        }
    }

    /// Whether it is neither delayed nor leased, so that losing its message would lose its work.
    pub fn rests_on_message(&self) -> bool {
        self.due.is_none() && self.lease.is_none()
    }
}
