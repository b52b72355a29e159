//! Real workers over real files: [`archive`] writes zip archives with a manifest, [`tags`] finds
//! the words a text is about, [`mod@verify`] proves archives against the folder they were made
//! from.
//!
//! What does not live here: how files are found (the `files` splitter) and how jobs are submitted.

pub mod archive;
pub mod name;
pub mod output;
pub mod source;
pub mod tags;
pub mod verify;
pub mod workers;

pub use verify::{Report, verify};
