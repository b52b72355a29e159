//! Tag: the words that texts are about, one index file an item, one JSON line a file.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::PathBuf;

use headway_files::FileRoots;
use headway_worker::TaskError;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::archive::ratio;
use crate::name::Name;
use crate::output;
use crate::source::{Source, code, unreadable, unwritable};

/// The extension of index files.
pub const EXTENSION: &str = "jsonl";
/// How much of a file is read, which bounds the memory of an item.
const READ_LIMIT: u64 = 8 << 20;
/// A file with U+0000 among its first bytes is not text.
const SNIFF: usize = 8 << 10;
/// Shorter words say little.
const MIN_LETTERS: usize = 4;
/// Longer ones are no words.
const MAX_BYTES: usize = 64;
/// Common English words that say nothing about a text.
const COMMON: [&str; 36] = [
    "about", "after", "also", "been", "before", "both", "could", "does", "each", "every", "from",
    "have", "into", "more", "most", "must", "only", "other", "shall", "should", "some", "such",
    "than", "that", "their", "them", "then", "there", "these", "they", "this", "when", "which",
    "will", "with", "your",
];

/// What a tag item asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The files.
    pub source: Source,
    /// The folder of the index files; made if it is missing.
    pub out: PathBuf,
    /// How many tags a file gets at most, 1 to 100. Default 10.
    #[serde(default = "ten")]
    pub top: usize,
    /// What comes next for the same files, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
}

/// A next stage for the same files: it gets `{"source": ..., "out": ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Then {
    /// The `out` folder of the next stage.
    pub out: PathBuf,
    /// Its pipe. Default `documents.export`.
    #[serde(default = "export_pipe")]
    pub pipe: String,
    /// Its task type. Default `export`.
    #[serde(default = "export_type", rename = "type")]
    pub task_type: String,
}

fn ten() -> usize {
    10
}

fn export_pipe() -> String {
    crate::workers::EXPORT_PIPE.into()
}

fn export_type() -> String {
    crate::workers::EXPORT_TYPE.into()
}

/// A line of an index file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tagged {
    /// The file, relative to the root.
    pub path: Name,
    /// Whether it is a text.
    pub text: bool,
    /// Words counted.
    pub words: u64,
    /// The most frequent words, the most frequent first, equals by alphabet.
    pub tags: Vec<WordCount>,
}

/// A word and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordCount {
    /// The word in lower case.
    pub word: String,
    /// How often.
    pub count: u64,
}

/// Writes the index file of an item. It appears whole or not at all; doing it again replaces it by
/// an equal one.
///
/// # Errors
/// As [`crate::archive::export`].
pub fn tag(
    tag: &Tag,
    name: &str,
    roots: &FileRoots,
    cancelled: &CancellationToken,
    progress: impl Fn(f64),
) -> Result<Vec<Tagged>, TaskError> {
    let source = &tag.source;
    source.check()?;
    let mut lines = Vec::with_capacity(source.files.len());
    for (number, file) in source.files.iter().enumerate() {
        if cancelled.is_cancelled() {
            return Err(TaskError::retryable(
                code::CANCELLED,
                "stopped between two files",
            ));
        }
        let open = source.open(file, roots)?;
        let mut content = Vec::new();
        open.file
            .take(READ_LIMIT)
            .read_to_end(&mut content)
            .map_err(|error| unreadable(&open.path, &error))?;
        lines.push(tagged(open.path, &content, tag.top.clamp(1, 100)));
        progress(ratio(number + 1, source.files.len()));
    }
    let name = format!("{name}.{EXTENSION}");
    output::write(&tag.out, &name, roots, |writer| {
        for line in &lines {
            let text = serde_json::to_vec(line)?;
            writer
                .write_all(&text)
                .and_then(|()| writer.write_all(b"\n"))
                .map_err(|error| unwritable(&error))?;
        }
        Ok(())
    })?;
    Ok(lines)
}

fn tagged(path: Name, content: &[u8], top: usize) -> Tagged {
    if content.iter().take(SNIFF).any(|byte| *byte == 0) {
        return Tagged {
            path,
            text: false,
            words: 0,
            tags: Vec::new(),
        };
    }
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut words = 0;
    for word in String::from_utf8_lossy(content).split(|letter: char| !letter.is_alphanumeric()) {
        if word.is_empty() {
            continue;
        }
        words += 1;
        let says_nothing = word.len() > MAX_BYTES
            || word.chars().take(MIN_LETTERS).count() < MIN_LETTERS
            || word.chars().any(|letter| letter.is_numeric());
        if says_nothing {
            continue;
        }
        let lower = word.to_lowercase();
        if COMMON.binary_search(&lower.as_str()).is_err() {
            *counts.entry(lower).or_default() += 1;
        }
    }
    let mut tags: Vec<WordCount> = counts
        .into_iter()
        .map(|(word, count)| WordCount { word, count })
        .collect();
    tags.sort_by(|one, other| {
        other
            .count
            .cmp(&one.count)
            .then_with(|| one.word.cmp(&other.word))
    });
    tags.truncate(top);
    Tagged {
        path,
        text: true,
        words,
        tags,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_common_words_are_sorted_for_the_search() {
        assert!(COMMON.is_sorted());
    }

    #[test]
    fn frequent_words_become_tags() {
        let text = "Größe! größe, GRÖSSE: this that with 12345678 abc zebra zebra apple apple";
        let found = tagged(Name::from("a"), text.as_bytes(), 3);
        let tags: Vec<_> = found
            .tags
            .iter()
            .map(|tag| (tag.word.as_str(), tag.count))
            .collect();
        assert_eq!(tags, [("apple", 2), ("größe", 2), ("zebra", 2)]);
        assert_eq!((found.text, found.words), (true, 12));
        assert!(!tagged(Name::from("b"), b"ELF\0binary binary", 3).text);
    }

    #[test]
    fn the_index_has_a_line_for_each_file() -> anyhow::Result<()> {
        let (root, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(root.path().join("a"), "delivery delivery queue")?;
        fs::write(root.path().join("b"), [0, 1, 2])?;
        let item: Tag = serde_json::from_value(serde_json::json!({
            "source": {"root": root.path(), "dir": "", "files": ["a", "b"]},
            "out": out.path(),
            "then": {"out": "/exports"},
        }))?;
        let then = item.then.clone().expect("is given");
        assert_eq!(
            (then.pipe.as_str(), then.task_type.as_str()),
            ("documents.export", "export")
        );
        let roots = FileRoots::new([std::env::temp_dir()]);
        let lines =
            tag(&item, "item", &roots, &CancellationToken::new(), |_| ()).expect("is written");
        let index = fs::read_to_string(out.path().join("item.jsonl"))?;
        let read: Vec<Tagged> = index
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        assert_eq!(read, lines);
        assert_eq!(
            read[0].tags[0],
            WordCount {
                word: "delivery".into(),
                count: 2
            }
        );
        assert!(!read[1].text);
        Ok(())
    }
}
