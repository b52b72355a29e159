//! Pages: consecutive children of one batch.

use super::{batch::Batch, bitmap::Bitmap};
use crate::values::time::Micros;

/// The state of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageState {
    /// Its children are not known, and no batch worker was asked for them.
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

/// What `advance` has to do with a page. The store has an index over it, so that it finds these
/// pages without reading the others.
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
    /// Retained for a later run.
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
    /// Its state.
    pub state: PageState,
    /// Children, at most 4096.
    pub count: u32,
    /// Children below this index were released in the present run, except those in `again`.
    pub released: u32,
    /// Items below `released` that failed and are to be released again.
    pub again: Bitmap,
    /// Children that are sub-batches.
    pub sub: Bitmap,
    /// Items that ended well.
    pub done: Bitmap,
    /// Items that failed.
    pub failed: Bitmap,
    /// Items that were discarded.
    pub discarded: Bitmap,
    /// Items that were parked while the job was paused.
    pub parked: Bitmap,
    /// The run in which it was opened last.
    pub run: u32,
    /// The fencing attempt of its items without a row, and of its split.
    pub attempt: u32,
    /// How many times its split failed with a retryable failure.
    pub tries: u32,
    /// When it may be split again.
    pub due: Option<Micros>,
    /// Whether its batch's size was known beforehand.
    pub declared: bool,
    /// When an item of it was last released or reported.
    pub touched: Micros,
    /// The broker epoch in which it was last released.
    pub epoch: i64,
    /// The part that only splitting reads. Present when the row is new or was just split.
    pub content: Option<PageContent>,
}

/// What a splitter needs for a page, and what it found.
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

    /// Whether the child is a released item that is not parked: in a pipe, at a worker, leased or
    /// delayed.
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
