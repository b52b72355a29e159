//! The glob of the `files` splitter: which files it takes, and which folders cannot hold any.
//!
//! A glob is matched character by character, against the path as text: bytes that are not UTF-8
//! count as U+FFFD. It becomes a regular expression, which takes time in proportion to the path,
//! whatever the glob.

mod syntax;

use regex::Regex;

use self::syntax::{Fault, expression};
use crate::SplitError;

/// How long a glob is at most, in bytes.
const MAX_GLOB_BYTES: usize = 4096;
/// Memory for a compiled glob.
const COMPILED_BYTES: usize = 4 << 20;

/// A compiled glob over paths relative to the root, with `/` between folders.
#[derive(Debug)]
pub(super) struct Glob {
    /// `None` takes every file.
    matcher: Option<Regex>,
    /// One step per folder level, up to the first `**`.
    steps: Vec<Regex>,
    /// Whether files may lie deeper than the steps.
    open_ended: bool,
}

impl Glob {
    /// Compiles a glob: `*` and `?` stay within a folder, `**` crosses folders.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] with what is wrong in it.
    pub(super) fn new(pattern: &str) -> Result<Self, SplitError> {
        if pattern.len() > MAX_GLOB_BYTES {
            return Err(SplitError::invalid(format!(
                "`glob` has {} bytes, more than {MAX_GLOB_BYTES}",
                pattern.len()
            )));
        }
        let pattern = &normal(pattern)?;
        if matches!(pattern.as_str(), "**" | "**/*") {
            return Ok(Self {
                matcher: None,
                steps: Vec::new(),
                open_ended: true,
            });
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
            .is_none_or(|matcher| matcher.is_match(&String::from_utf8_lossy(path)))
    }

    /// Whether files below this folder may be taken.
    pub(super) fn may_take_below(&self, folder: &[u8]) -> bool {
        let mut steps = self.steps.iter();
        for name in folder.split(|byte| *byte == b'/') {
            match steps.next() {
                Some(step) if step.is_match(&String::from_utf8_lossy(name)) => {}
                Some(_) => return false,
                None => return self.open_ended,
            }
        }
        true
    }
}

/// The glob without parts that stand for the folder itself: `./a//b` is `a/b`.
fn normal(pattern: &str) -> Result<String, SplitError> {
    let refuse = |why: &str| Err(SplitError::invalid(format!("`glob` {why}")));
    if pattern.starts_with('/') {
        return refuse("must be relative to the root, without `/` at its start");
    }
    if pattern.ends_with('/') {
        return refuse("ends with `/`; write `/**` there for all files in that folder");
    }
    let parts: Vec<&str> = pattern
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if parts.is_empty() {
        return refuse("names no file; `**/*` takes all");
    }
    if parts.contains(&"..") {
        return refuse("must not lead out of the root with `..`");
    }
    Ok(parts.join("/"))
}

fn compile(pattern: &str) -> Result<Regex, SplitError> {
    let wrong =
        |Fault { what, at }| SplitError::invalid(format!("`glob` {what} at its character {at}"));
    let expression = expression(pattern).map_err(wrong)?;
    regex::RegexBuilder::new(&expression)
        .size_limit(COMPILED_BYTES)
        .build()
        .map_err(|_| SplitError::invalid("`glob` is too large or too deeply nested"))
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
            ("a?/*/c*", &["ab", "ab/x", "aé"], &["a", "b", "ab/x/c"]),
            ("a/**/*.txt", &["a", "a/b", "a/b/c"], &["b", "b/a"]),
            ("./a//./*.txt", &["a"], &["b", "a/b"]),
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
    fn globs_match_characters() {
        for (pattern, yes, no) in [
            (
                "?.txt",
                &["a.txt", "é.txt", "漢.txt"][..],
                &["ab.txt", ".txt", "/.txt"][..],
            ),
            ("[é].pdf", &["é.pdf"], &["e.pdf", "è.pdf"]),
            ("[à-ü].pdf", &["é.pdf", "ü.pdf"], &["a.pdf", "þ.pdf"]),
            ("[!a-c]x", &["dx", "éx"], &["ax", "/x", "x"]),
            ("[^a]x", &["bx"], &["ax"]),
            ("[]-]x", &["]x", "-x"], &["ax"]),
            ("[a&&b]", &["a", "&", "b"], &["c"]),
            ("a{,-x}.pdf", &["a.pdf", "a-x.pdf"], &["ax.pdf", "a-.pdf"]),
            ("{a,b{c,d}}", &["a", "bc", "bd"], &["b", "ad", "a,b"]),
            ("a,b", &["a,b"], &["a"]),
            ("./**/*.pdf", &["a.pdf", "x/y/a.pdf"], &["a.txt"]),
            ("**/a", &["a", "x/a", "x/y/a"], &["xa", "a/x"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]),
            ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
            ("a**b", &["ab", "axxb"], &["a/b"]),
            ("\\*.{t+,(x)}", &["*.t+", "*.(x)"], &["a.t+", "*.tt"]),
            ("*", &["a", "a\nb", ".a"], &["a/b"]),
        ] {
            let glob = Glob::new(pattern).unwrap();
            for path in yes {
                assert!(glob.takes(path.as_bytes()), "{pattern} {path}");
            }
            for path in no {
                assert!(!glob.takes(path.as_bytes()), "{pattern} {path}");
            }
        }
        assert!(Glob::new("a?b").unwrap().takes(b"a\xffb"), "not UTF-8");
    }

    #[test]
    fn wrong_globs_are_refused() {
        let nested = format!("{}a{}", "{".repeat(1000), "}".repeat(1000));
        let long = "a".repeat(MAX_GLOB_BYTES + 1);
        for (wrong, part) in [
            ("", "names no file"),
            (".", "names no file"),
            ("[", "a class without `]` at its character 1"),
            ("a[]b", "class"),
            ("[z-a]", "a range that ends before it begins"),
            ("{a", "a `{` without `}`"),
            ("a}", "a `}` without `{` at its character 2"),
            ("a\\", "a `\\` at its end"),
            ("/abs/*", "relative to the root"),
            ("sub/", "write `/**`"),
            ("../**", "`..`"),
            ("a/../b", "`..`"),
            ("a/[/b", "class"),
            (&nested, "nested"),
            (&long, "more than 4096"),
        ] {
            match Glob::new(wrong) {
                Err(SplitError::Invalid(why)) => assert!(why.contains(part), "{wrong}: {why}"),
                other => panic!("{wrong}: {other:?}"),
            }
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

        /// Whatever a client writes is compiled or refused.
        #[test]
        fn any_text_is_compiled_or_refused(pattern in "[a/*?{},!^\\[\\]\\\\é-]{0,12}", path in "[a/é]{0,6}") {
            if let Ok(glob) = Glob::new(&pattern) {
                let _ = glob.takes(path.as_bytes());
            }
        }
    }
}
