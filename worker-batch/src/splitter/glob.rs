//! The glob of the `files` splitter: which files it takes, and which folders cannot hold any.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use super::SplitError;
use super::paths::os_path;

/// A compiled glob over paths relative to the root, with `/` between folders.
#[derive(Debug)]
pub(super) struct Glob {
    /// `None` takes every file.
    matcher: Option<GlobMatcher>,
    /// One step per folder level, up to the first `**`.
    steps: Vec<GlobMatcher>,
    /// Whether files may lie deeper than the steps.
    open_ended: bool,
}

impl Glob {
    /// Compiles a glob: `*` and `?` stay within a folder, `**` crosses folders.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] with what is wrong in it.
    pub(super) fn new(pattern: &str) -> Result<Self, SplitError> {
        if matches!(pattern, "**" | "**/*") {
            return Ok(Self {
                matcher: None,
                steps: Vec::new(),
                open_ended: true,
            });
        }
        if pattern.is_empty() || Path::new(pattern).is_absolute() {
            return Err(SplitError::invalid(format!(
                "the glob {pattern:?} must be a path relative to the root"
            )));
        }
        let matcher = Some(compile(pattern)?);
        // Groups, classes and escapes may hold a `/`: then any folder may lead to a match.
        if pattern.contains(['{', '[', '\\']) {
            return Ok(Self {
                matcher,
                steps: Vec::new(),
                open_ended: true,
            });
        }
        let parts: Vec<&str> = pattern.split('/').collect();
        let folders = parts.iter().position(|part| part.contains("**"));
        let open_ended = folders.is_some();
        let steps = parts[..folders.unwrap_or(parts.len() - 1)]
            .iter()
            .map(|part| compile(part))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            matcher,
            steps,
            open_ended,
        })
    }

    /// Whether a file is taken.
    pub(super) fn takes(&self, path: &[u8]) -> bool {
        self.matcher
            .as_ref()
            .is_none_or(|matcher| matcher.is_match(os_path(path)))
    }

    /// Whether files below this folder may be taken.
    pub(super) fn may_take_below(&self, folder: &[u8]) -> bool {
        let mut steps = self.steps.iter();
        for name in folder.split(|byte| *byte == b'/') {
            match steps.next() {
                Some(step) if step.is_match(os_path(name)) => {}
                Some(_) => return false,
                None => return self.open_ended,
            }
        }
        true
    }
}

fn compile(pattern: &str) -> Result<GlobMatcher, SplitError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| {
            SplitError::invalid(format!("the glob {pattern:?} cannot be read: {error}"))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_that_cannot_match_are_left_out() {
        for (pattern, yes, no) in [
            ("*.txt", &[][..], &["a", "a/b"][..]),
            ("a/*.txt", &["a"], &["b", "a/b"]),
            ("a?/*/c*", &["ab", "ab/x"], &["a", "b", "ab/x/c"]),
            ("a/**/*.txt", &["a", "a/b", "a/b/c"], &["b", "b/a"]),
            ("**/*.txt", &["a", "b/c"], &[]),
            ("{a,b/c}/*.txt", &["a", "b", "b/c"], &[]),
        ] {
            let glob = Glob::new(pattern).unwrap();
            for folder in yes {
                assert!(glob.may_take_below(folder.as_bytes()), "{pattern} {folder}");
            }
            for folder in no {
                assert!(
                    !glob.may_take_below(folder.as_bytes()),
                    "{pattern} {folder}"
                );
            }
        }
    }

    #[test]
    fn wrong_globs_are_refused() {
        for wrong in ["", "[", "{a", "/abs/*", "a/[/b"] {
            assert!(
                matches!(Glob::new(wrong), Err(SplitError::Invalid(_))),
                "{wrong}"
            );
        }
    }

    proptest! {
        /// A folder above a file that is taken is never left out.
        #[test]
        fn no_match_is_cut_off(
            pattern in proptest::collection::vec("\\*\\*|\\*|a|b\\*|\\?|\\*\\.c|\\{a,b\\}|\\[ab\\]", 1..5),
            path in proptest::collection::vec("a|b|ab|a\\.c", 1..6),
        ) {
            let glob = Glob::new(&pattern.join("/")).unwrap();
            if glob.takes(path.join("/").as_bytes()) {
                for end in 1..path.len() {
                    prop_assert!(glob.may_take_below(path[..end].join("/").as_bytes()));
                }
            }
        }
    }
}
