//! Tests of the `lines` splitter, on real files.

mod properties;
mod refused;

use std::fs;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::NamedTempFile;

use super::csv::MAX_RECORD_BYTES;
use super::source_file::length;
use super::*;
use crate::testing::{Permutation, Walk, walk};
use crate::{Child, Name};

/// The splitter over all temporary folders.
fn lines() -> Lines {
    Lines::new(FileRoots::new([std::env::temp_dir()]))
}

/// The splitter with small ranges.
fn cutting(range_bytes: u64) -> Lines {
    Lines {
        range_bytes,
        ..lines()
    }
}

fn file_with(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn definition(file: &NamedTempFile, options: Value) -> Definition {
    let mut value = json!({"path": Name::from(file.path())});
    value
        .as_object_mut()
        .unwrap()
        .extend(options.as_object().unwrap().clone());
    Definition::Json(value)
}

/// The items of a file with this content, in the order of the file.
fn items(content: &[u8], options: Value) -> Vec<Value> {
    let file = file_with(content);
    let mut found = walk(&cutting(4), definition(&file, options), 9);
    found.sort_by_key(|item| item["offset"].as_u64());
    found
}

/// The lines of a text, said plainly: where each starts, and what it holds without its end.
fn plain_lines(content: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut offset = 0;
    let mut found = Vec::new();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let bare = line
            .strip_suffix(b"\n")
            .map_or(line, |bare| bare.strip_suffix(b"\r").unwrap_or(bare));
        found.push((offset, bare.to_vec()));
        offset += length(line.len());
    }
    found
}

/// The lines in the items, in the order of the file.
fn lines_of(items: &[Value]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    for item in items {
        let entries = item
            .get("lines")
            .and_then(Value::as_array)
            .map_or(std::slice::from_ref(item), Vec::as_slice);
        for entry in entries {
            let bytes = match entry.get("text") {
                Some(text) => text.as_str().unwrap().as_bytes().to_vec(),
                None => STANDARD.decode(entry["b64"].as_str().unwrap()).unwrap(),
            };
            found.push((entry["offset"].as_u64().unwrap(), bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn text_lines() {
    let text = |offset: u64, text: &str| json!({"offset": offset, "text": text});
    for (content, expected) in [
        (&b""[..], vec![]),
        (b"\xef\xbb\xbf", vec![]),
        (b"a", vec![text(0, "a")]),
        (b"\n", vec![text(0, "")]),
        (b"a\r\n\r\nb", vec![text(0, "a"), text(3, ""), text(5, "b")]),
        (
            b"\xef\xbb\xbflong first line\nx\n",
            vec![text(3, "long first line"), text(19, "x")],
        ),
        (
            b"ok\n\xff\n",
            vec![text(0, "ok"), json!({"offset": 3, "b64": "/w=="})],
        ),
        (b"a\rb\r", vec![text(0, "a\rb\r")]),
    ] {
        assert_eq!(items(content, json!({})), expected, "{content:?}");
    }
}

#[test]
fn csv_rows() {
    let content = b"\xef\xbb\xbf\nid,name\r\n1,\"a, b\"\r\n\r\n2,\"two\nlines\"\r\n";
    let expected = [
        json!({"offset": 13, "row": {"id": "1", "name": "a, b"}}),
        json!({"offset": 25, "row": {"id": "2", "name": "two\nlines"}}),
    ];
    assert_eq!(
        items(content, json!({"format": "csv", "header": true})),
        expected
    );
    let plain = items(
        b"1;2\n3\n",
        json!({"format": "csv", "delimiter": ";", "quoted_newlines": false}),
    );
    assert_eq!(
        plain,
        [
            json!({"offset": 0, "row": ["1", "2"]}),
            json!({"offset": 4, "row": ["3"]})
        ]
    );
    assert!(items(b"only,a,header\n", json!({"format": "csv", "header": true})).is_empty());
    assert!(items(b"", json!({"format": "csv", "header": true})).is_empty());
}

#[test]
fn ndjson_values() {
    let content = b"{\"a\":1}\r\n \n[2]\n\"x\"";
    let expected = [
        json!({"offset": 0, "value": {"a": 1}}),
        json!({"offset": 11, "value": [2]}),
        json!({"offset": 15, "value": "x"}),
    ];
    assert_eq!(items(content, json!({"format": "ndjson"})), expected);
}

#[test]
fn groups_hold_several_lines() {
    let file = file_with(b"a\nb\nc\n");
    let found = walk(&lines(), definition(&file, json!({"group": 2})), 1);
    let line = |offset: u64, text: &str| json!({"offset": offset, "text": text});
    assert!(found.is_permutation_of(&[
        json!({"lines": [line(0, "a"), line(2, "b")]}),
        json!({"lines": [line(4, "c")]}),
    ]));
}

#[test]
fn a_file_that_changes_is_found_out() {
    let mut file = file_with(b"a\nb\nc\nd\n");
    let lines = cutting(2);
    let root = definition(&file, json!({}));
    let page = Walk::page(&lines, &root, None, 2);
    let Some(Child::Batch {
        definition: range, ..
    }) = page.children.first()
    else {
        panic!("{page:?}")
    };
    // What is appended does not count, also for the ranges of a later page.
    file.write_all(b"e\n").unwrap();
    file.flush().unwrap();
    assert!(Walk::ask(&lines, range, None, 10, None).is_ok());
    let rest = Walk::ask(&lines, &root, page.next.as_deref(), 10, None).unwrap();
    assert_eq!((rest.children.len(), rest.next), (2, None));
    file.as_file().set_len(4).unwrap();
    for (definition, cursor) in [(&root, page.next.as_deref()), (range, None)] {
        match Walk::ask(&lines, definition, cursor, 10, None) {
            Err(SplitError::Invalid(sentence)) => {
                assert!(sentence.contains("changed while"), "{sentence}")
            }
            other => panic!("{other:?}"),
        }
    }
    // The same length, written again.
    let range = Walk::page(&lines, &root, None, 1).children.remove(0);
    let Child::Batch {
        definition: range, ..
    } = range
    else {
        panic!("{range:?}")
    };
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::options()
        .write(true)
        .open(file.path())
        .unwrap()
        .set_modified(later)
        .unwrap();
    assert!(matches!(
        Walk::ask(&lines, &range, None, 10, None),
        Err(SplitError::Invalid(_))
    ));
    fs::remove_file(file.path()).unwrap();
    assert!(matches!(
        Walk::ask(&lines, &range, None, 10, None),
        Err(SplitError::Invalid(_))
    ));
}

#[test]
fn large_lines_make_short_pages() {
    let line = "z".repeat(300_000);
    let content = format!("{line}\n").repeat(10);
    let file = file_with(content.as_bytes());
    let found = walk(&lines(), definition(&file, json!({})), 4);
    assert_eq!(lines_of(&found), plain_lines(content.as_bytes()));
    let grouped = walk(&lines(), definition(&file, json!({"group": 1000})), 4);
    assert_eq!(
        grouped
            .iter()
            .map(|item| item["lines"].as_array().unwrap().len())
            .sum::<usize>(),
        10
    );
}

#[test]
fn a_large_file_is_cut_without_being_read() {
    let file = NamedTempFile::new().unwrap();
    // Sparse: a terabyte that takes no space, and far too long to read.
    file.as_file().set_len(1 << 40).unwrap();
    let root = definition(&file, json!({}));
    let first = Walk::page(&lines(), &root, None, 4096);
    assert_eq!(first.children.len(), 4096.min(first.children.len()));
    assert!(first.next.is_some());
    let last = Walk::page(&lines(), &root, first.next.as_deref(), 1);
    assert_eq!(last.children.len(), 1);
}

/// An item that is full leaves the line that does not fit to the next one.
#[test]
fn groups_are_bounded_in_bytes() {
    let mut content = "short\n".repeat(900);
    content.push_str(&"x".repeat(MAX_RECORD_BYTES - 100));
    content.push_str("\nlast\n");
    let file = file_with(content.as_bytes());
    let found = walk(&lines(), definition(&file, json!({"group": 1000})), 2);
    assert_eq!(lines_of(&found), plain_lines(content.as_bytes()));

    // Short rows, long names: what counts is the row as JSON.
    let header: Vec<String> = (0..500).map(|column| format!("{column:0100}")).collect();
    let content = format!(
        "{}\n{}",
        header.join(","),
        format!("{}\n", ",".repeat(499)).repeat(100)
    );
    let file = file_with(content.as_bytes());
    let options = json!({"format": "csv", "header": true, "group": 1000});
    let found = walk(&lines(), definition(&file, options), 2);
    assert_eq!(
        found
            .iter()
            .map(|item| item["lines"].as_array().unwrap().len())
            .sum::<usize>(),
        100
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_of_no_size_is_read_to_its_end() {
    let path = "/proc/filesystems";
    let lines = Lines::new(FileRoots::new(["/proc".into()]));
    let definition = Definition::Json(json!({"path": path}));
    let found: Vec<_> = walk(&lines, definition, 4)
        .into_iter()
        .map(|item| item["text"].as_str().unwrap().to_owned())
        .collect();
    let content = fs::read_to_string(path).unwrap();
    assert!(!content.is_empty());
    assert_eq!(found.len(), content.lines().count());
    assert!(
        content
            .lines()
            .all(|line| found.iter().any(|text| text == line))
    );
}
