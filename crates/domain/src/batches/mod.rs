//! Batches, their pages, and the items in them.

pub(crate) mod batch;
pub(crate) mod bitmap;
pub(crate) mod item;
pub(crate) mod page;
pub(crate) mod split;

pub use batch::Batch;
pub use bitmap::Bitmap;
pub use item::{Forward, Item, Lease};
pub use page::{Page, PageContent, PageState, Todo};
pub use split::{Child, Split, SplitOutcome};
