//! What a splitter is: the trait, what goes in and comes out of it, and the registry of splitters.
//!
//! What does not live here: how pages become rows and messages, and the built-in splitters, each of which
//! has its own file.

pub mod files;
pub mod json;
pub mod lines;
pub mod list;
pub mod range;

mod collect;
mod csv;
mod definition;
mod glob;
mod glob_syntax;
mod links;
mod page;
mod paths;
mod scans;
mod source_file;
#[cfg(test)]
pub(crate) mod testing;
mod title;
mod warm;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use headway_files::FileRoots;
use serde_json::Value;
use uuid::Uuid;

pub use collect::collect;
pub use definition::Definition;
pub use page::{Child, MAX_CURSOR_BYTES, MAX_PAGE_BYTES, MAX_PAGE_CHILDREN, Page, PageBuilder};
pub use paths::Name;
pub use title::title;

/// The examples in the guide are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/SPLITTERS.md")]
pub struct Guide;

/// Reads a batch definition a page at a time.
///
/// A splitter keeps no state of its own between two pages: all it needs is in the definition and the cursor, so
/// that any batch worker can find the next page, also after a crash. What it remembers besides (see
/// [`PageRequest::warm`]) may only make it faster.
#[async_trait]
pub trait Splitter: Send + Sync + 'static {
    /// The name that a job's batch gives: 1-128 bytes of ASCII letters, digits, `_ - .`.
    fn name(&self) -> &str;

    /// Whether the same definition, parameters, cursor and limit always give the same page, however much later.
    /// Pages of such a splitter are not stored but found again; an answer that differs fails the job.
    fn reproducible(&self) -> bool;

    /// Checks the definition without I/O and returns the exact number of items in and below it, if that is known
    /// beforehand. Called before the first page.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if the definition cannot be read.
    fn total(&self, definition: &Definition, parameters: &Value)
    -> Result<Option<u64>, SplitError>;

    /// Finds the children that follow the cursor.
    ///
    /// A page has at most `limit` children whose encoded sizes sum to at most about 1 MiB ([`PageBuilder`] sees to
    /// both). It may be short, or even empty, although more follow; then the cursor has moved. Asked twice for the
    /// same cursor, a splitter whose source changed in between may answer differently unless it is
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
    /// How many children the page may have, 1 to [`MAX_PAGE_CHILDREN`].
    pub limit: usize,
    /// Names the batch, so that a splitter may keep something that makes the next page of the same batch cheaper.
    /// `None` if no next page is expected in this process.
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

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Trying again cannot help: the job fails with this sentence.
    #[error("{0}")]
    Invalid(String),
    /// A fault that may pass, as of a network file system: tried again with backoff.
    #[error("{0}")]
    Transient(String),
}

impl SplitError {
    /// A lasting error.
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }

    /// A passing error.
    pub fn transient(sentence: impl Into<String>) -> Self {
        Self::Transient(sentence.into())
    }
}

/// Checks a definition by [`Splitter::total`]. A splitter that panics is an error, as one that refuses.
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

/// The splitters that a batch worker knows, by name.
#[derive(Clone, Default)]
pub struct Registry {
    splitters: BTreeMap<String, Arc<dyn Splitter>>,
}

impl Registry {
    /// A registry without splitters.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A registry of the built-in splitters: `files`, `json`, `lines`, `list` and `range`. No folder is allowed to
    /// `files` and `lines`, so they refuse every definition.
    #[must_use]
    pub fn with_builtins() -> Self {
        Self::with_file_roots(FileRoots::default())
    }

    /// A registry of the built-in splitters, of which `files` and `lines` read in and below these folders.
    #[must_use]
    pub fn with_file_roots(roots: FileRoots) -> Self {
        Self::empty()
            .add(Arc::new(files::Files::new(roots.clone())))
            .add(Arc::new(json::Json))
            .add(Arc::new(lines::Lines::new(roots)))
            .add(Arc::new(list::List))
            .add(Arc::new(range::Range))
    }

    /// Adds a splitter. One that has the same name as an earlier one takes its place, so a deployment can give a
    /// built-in other settings.
    #[must_use]
    // A chain of registrations, not an arithmetic sum.
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, splitter: Arc<dyn Splitter>) -> Self {
        self.splitters.insert(splitter.name().to_owned(), splitter);
        self
    }

    /// The splitter of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn Splitter>> {
        self.splitters.get(name).cloned()
    }

    /// All names in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.splitters.keys().map(String::as_str).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Registry")
            .field(&self.names())
            .finish()
    }
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

    /// Stands for a deployment's own `range`.
    struct Mine;

    #[async_trait]
    impl Splitter for Mine {
        fn name(&self) -> &str {
            "range"
        }

        fn reproducible(&self) -> bool {
            false
        }

        fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
            Ok(None)
        }

        async fn page(&self, _: PageRequest<'_>) -> Result<Page, SplitError> {
            Err(SplitError::transient("not now"))
        }
    }

    #[test]
    fn the_builtins_are_known_by_name() {
        let registry = Registry::with_builtins();
        assert_eq!(
            registry.names(),
            ["files", "json", "lines", "list", "range"]
        );
        for name in registry.names() {
            assert_eq!(
                registry
                    .get(name)
                    .map(|splitter| splitter.name().to_owned())
                    .as_deref(),
                Some(name)
            );
        }
        assert!(registry.get("nothing").is_none());
    }

    #[test]
    fn a_later_splitter_takes_the_place_of_a_builtin() {
        let registry = Registry::with_builtins().add(Arc::new(Mine));
        assert_eq!(registry.names().len(), 5);
        assert_eq!(
            registry
                .get("range")
                .map(|splitter| splitter.reproducible()),
            Some(false)
        );
    }
}
