//! Reports of workers, and failures.

pub(crate) mod failure;
pub(crate) mod report;

pub use failure::{Failed, NewFailure, Subject, code};
pub use report::{Applied, ItemEvent, ItemReport, PageReport};
