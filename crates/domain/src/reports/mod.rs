//! Reports of workers, and the failures that they tell of.

pub(crate) mod failure;
pub(crate) mod report;

pub use failure::{Failed, NewFailure, Subject, code};
pub use report::{Applied, ItemEvent, ItemReport, PageReport};
