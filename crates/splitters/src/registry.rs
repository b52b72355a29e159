//! The splitters of a deployment, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use headway_files::FileRoots;

use crate::{Splitter, files, json, lines, list, range};

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

    /// A registry of the built-in splitters: `files`, `json`, `lines`, `list` and `range`. No
    /// folder is allowed to `files` and `lines`, so they refuse every definition.
    #[must_use]
    pub fn with_builtins() -> Self {
        Self::with_file_roots(FileRoots::default())
    }

    /// A registry of the built-in splitters, of which `files` and `lines` read in and below these
    /// folders.
    #[must_use]
    pub fn with_file_roots(roots: FileRoots) -> Self {
        Self::empty()
            .add(Arc::new(files::Files::new(roots.clone())))
            .add(Arc::new(json::Json))
            .add(Arc::new(lines::Lines::new(roots)))
            .add(Arc::new(list::List))
            .add(Arc::new(range::Range))
    }

    /// Adds a splitter. One that has the same name as an earlier one takes its place, so a
    /// deployment can give a built-in other settings.
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
    use async_trait::async_trait;
    use serde_json::Value;

    use super::*;
    use crate::{Definition, Page, PageRequest, SplitError};

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
