//! Rows of failures.

use headway_domain::{
    limits,
    reports::{NewFailure, Subject},
    values::text::clean,
};

use crate::db::{bulk::Cell, table::table};

table! {
    /// A recorded failure.
    #[derive(Clone, PartialEq, Eq)]
    pub struct FailureRow as "f";
    const FAILURE = "failure";
    fn failure_cells(job_key: i64, seq: i64, now: i64, failure: &NewFailure) {
        // Beyond a job's cap the texts are left out.
        let keep = seq <= limits::MAX_FAILURE_TEXTS;
        let text = |text: &str| Cell::from(if keep { text } else { "" });
        let (page, index) = match failure.subject {
            Subject::Job => (0, WHOLE_JOB),
            Subject::Page(page) => (page, WHOLE_PAGE),
            Subject::Item(page, index) => (page, i64::from(index)),
        };
    }
    key_only job_key: i64 = job_key,
    /// The run.
    key run: i64 = failure.run,
    /// Rises by one with each failure of a run, from 1.
    key seq: i64 = seq,
    /// The page.
    page: i64 = page,
    /// The item's index, -1 when the page could not be split, -2 when the job as a whole failed.
    idx: i64 = index,
    /// A word for programs.
    code: String = failure.failure.code.as_str(),
    /// A sentence for people.
    message: String = text(&failure.failure.message),
    /// More.
    details: String = text(&failure.failure.details),
    /// The attempt that failed, from 1.
    attempt: i64 = failure.attempt,
    /// When it was recorded, in microseconds.
    recorded: i64 = now,
    /// Who reported it.
    worker: String = text(&clean(&failure.worker, limits::MAX_SHORT_TEXT_BYTES)),
}

/// In place of an item's index: the page could not be split.
pub(crate) const WHOLE_PAGE: i64 = -1;
/// In place of an item's index: the job as a whole failed.
pub(crate) const WHOLE_JOB: i64 = -2;
