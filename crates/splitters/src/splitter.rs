//! What a splitter is: the trait, what goes in and comes out of it, and the check of a definition.

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use crate::{Definition, Page, SplitError};

/// Reads a batch definition a page at a time.
///
/// A splitter keeps no state of its own between two pages: all it needs is in the definition and
/// the cursor, so that any batch worker can find the next page, also after a crash. What it
/// remembers besides (see [`PageRequest::warm`]) may only make it faster.
#[async_trait]
pub trait Splitter: Send + Sync + 'static {
    /// The name that a job's batch gives: 1-128 bytes of ASCII letters, digits, `_ - .`.
    fn name(&self) -> &str;

    /// Whether the same definition, parameters, cursor and limit always give the same page, however
    /// much later. Pages of such a splitter are not stored but found again; an answer that differs
    /// fails the job.
    fn reproducible(&self) -> bool;

    /// Checks the definition without I/O and returns the exact number of items in and below it, if
    /// that is known beforehand. Called before the first page.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if the definition cannot be read.
    fn total(&self, definition: &Definition, parameters: &Value)
    -> Result<Option<u64>, SplitError>;

    /// Finds the children that follow the cursor.
    ///
    /// A page has at most `limit` children whose encoded sizes sum to at most about 1 MiB
    /// ([`PageBuilder`](crate::PageBuilder) sees to both). It may be short, or even empty, although
    /// more follow; then the cursor has moved. Asked twice for the same cursor, a splitter whose
    /// source changed in between may answer differently unless it is
    /// [reproducible](Self::reproducible); the first answer that is committed counts.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] fails the batch; [`SplitError::Transient`] makes it try again later.
    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError>;
}

/// Asks for the page that follows a cursor.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// What to split.
    pub definition: &'a Definition,
    /// The parameters of the job's batch: an object, or null.
    pub parameters: &'a Value,
    /// Where the previous page ended, [`Page::next`]; `None` for the first page.
    pub cursor: Option<&'a [u8]>,
    /// How many children the page may have, 1 to [`MAX_PAGE_CHILDREN`](crate::MAX_PAGE_CHILDREN).
    pub limit: usize,
    /// Names the batch, so that a splitter may keep something that makes the next page of the same
    /// batch cheaper. `None` if no next page is expected in this process.
    pub warm: Option<WarmKey>,
}

/// Names one batch of one job, over all pages of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WarmKey {
    /// The job's uid.
    pub job: Uuid,
    /// The number of the batch in its job.
    pub batch: u64,
}

/// Checks a definition by [`Splitter::total`]. A splitter that panics is an error, as one that
/// refuses.
///
/// # Errors
/// Those of the splitter.
pub fn check(
    splitter: &dyn Splitter,
    definition: &Definition,
    parameters: &Value,
) -> Result<Option<u64>, SplitError> {
    let total = std::panic::AssertUnwindSafe(|| splitter.total(definition, parameters));
    std::panic::catch_unwind(total).unwrap_or_else(|_| {
        Err(SplitError::invalid(
            "the splitter panicked at this definition",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics at every definition.
    struct Panics;

    #[async_trait]
    impl Splitter for Panics {
        fn name(&self) -> &str {
            "panics"
        }

        fn reproducible(&self) -> bool {
            true
        }

        fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
            panic!("on purpose")
        }

        async fn page(&self, _: PageRequest<'_>) -> Result<Page, SplitError> {
            Err(SplitError::transient("not now"))
        }
    }

    #[test]
    fn a_splitter_that_panics_refuses_the_definition() {
        let checked = check(&Panics, &Definition::Json(Value::Null), &Value::Null);
        match checked {
            Err(SplitError::Invalid(why)) => assert!(why.contains("panicked"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
