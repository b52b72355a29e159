//! Why items, pages and jobs fail.

use crate::values::{limits, text::clean};

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The job as a whole.
    Job,
    /// A page that could not be split.
    Page(u32),
    /// An item, by page and index.
    Item(u32, u32),
}

/// A failure to record: one row each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFailure {
    /// What failed.
    pub subject: Subject,
    /// Why.
    pub failure: Failed,
    /// The attempt that failed, from 1.
    pub attempt: u32,
    /// The run.
    pub run: u32,
    /// The worker that reported it.
    pub worker: String,
}

/// Why something failed. Texts are within [`limits`] and free of U+0000.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failed {
    /// Whether a retry may help.
    pub retryable: bool,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// More.
    pub details: String,
}

impl Failed {
    /// A failure that a retry does not help, with texts cut and cleaned.
    pub fn lasting(code: &str, message: impl AsRef<str>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.as_ref().to_owned(),
            ..Self::default()
        }
        .cleaned()
    }

    /// Cuts texts to their bounds and replaces what a database refuses.
    pub fn cleaned(self) -> Self {
        Self {
            retryable: self.retryable,
            code: clean(&self.code, limits::MAX_ID_BYTES),
            message: clean(&self.message, limits::MAX_TEXT_BYTES),
            details: clean(&self.details, limits::MAX_DETAILS_BYTES),
        }
    }
}

/// The codes of failures that Headway itself records.
pub mod code {
    /// Every process that ran the item died.
    pub const POISON: &str = "POISON";
    /// The report about the item could not be stored or read.
    pub const BAD_REPORT: &str = "BAD_REPORT";
    /// The broker dead-lettered the item's message.
    pub const DEAD_LETTERED: &str = "DEAD_LETTERED";
    /// The broker dead-lettered the item's message, and a client dropped the dead letter.
    pub const DEAD_LETTER_DROPPED: &str = "DEAD_LETTER_DROPPED";
    /// The batch could not be split.
    pub const SPLIT_FAILED: &str = "SPLIT_FAILED";
    /// The item's message is larger than the message broker takes.
    pub const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";
    /// The item was forwarded to a new pipe, and the deployment has reached its number of pipes.
    pub const TOO_MANY_PIPES: &str = "TOO_MANY_PIPES";
    /// A prerequisite of the job was not completed.
    pub const PREREQUISITE_FAILED: &str = "PREREQUISITE_FAILED";
    /// The job had not ended by its deadline.
    pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
    /// The splitter answered differently the second time.
    pub const NOT_REPRODUCIBLE: &str = "NOT_REPRODUCIBLE";
}
