//! Splitters read a batch definition a page at a time.
//!
//! [`Splitter`] is the trait. [`Registry`] holds the splitters of a deployment: the built-in ones,
//! each in a module of its own, and a deployment's own ones. [`template`] turns an item that a
//! splitter found into the payload of a task.
//!
//! How pages become rows and messages does not live here: the batch worker does that.

pub mod files;
pub mod json;
pub mod lines;
pub mod list;
pub mod range;
pub mod template;

mod collect;
mod definition;
mod error;
mod page;
mod paths;
mod registry;
mod scans;
mod splitter;
#[cfg(test)]
pub(crate) mod testing;
mod title;

pub use collect::collect;
pub use definition::Definition;
pub use error::SplitError;
pub use headway_files::FileRoots;
pub use page::{Child, MAX_CURSOR_BYTES, MAX_PAGE_BYTES, MAX_PAGE_CHILDREN, Page, PageBuilder};
pub use paths::Name;
pub use registry::Registry;
pub use splitter::{PageRequest, Splitter, WarmKey, check};
pub use title::title;

/// The examples in the guide are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/SPLITTERS.md")]
pub struct Guide;
