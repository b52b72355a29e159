//! Tests of the `files` splitter, on real folders.

#[cfg(unix)]
mod links;
mod properties;

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::folder::MAX_GROUP;
use super::*;
use crate::testing::{Walk, invalid, walk};
use crate::{Child, Name};

/// The folder of all temporary folders.
fn temporary() -> FileRoots {
    FileRoots::new([std::env::temp_dir()])
}

/// The splitter over all temporary folders.
fn files() -> Files {
    Files::new(temporary())
}

/// The splitter with memory for few names, so that folders are read several times.
fn forgetful(names: usize) -> Files {
    Files::with_memory(temporary(), names * 52)
}

fn folder_with(paths: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in paths {
        create(folder.path(), path);
    }
    folder
}

fn create(root: &Path, path: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, path).unwrap();
}

fn definition(root: &Path, options: Value) -> Definition {
    let mut value = json!({"root": Name::from(root)});
    value
        .as_object_mut()
        .unwrap()
        .extend(options.as_object().unwrap().clone());
    Definition::Json(value)
}

/// The paths in the items, relative to the root; each item is checked against the group.
fn paths(items: &[Value], group: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for item in items {
        let dir: Name = serde_json::from_value(item["dir"].clone()).unwrap();
        let files: Vec<Name> = serde_json::from_value(item["files"].clone()).unwrap();
        assert!((1..=group).contains(&files.len()));
        found.extend(
            files
                .iter()
                .map(|name| dir.join(name.as_bytes()).as_bytes().to_vec()),
        );
    }
    found.sort();
    found
}

fn found(root: &Path, options: Value) -> Vec<String> {
    let items = walk(&files(), definition(root, options), 3);
    paths(&items, MAX_GROUP)
        .into_iter()
        .map(|path| String::from_utf8(path).unwrap())
        .collect()
}

const TREE: &[&str] = &[
    "a.txt",
    "b.md",
    ".hidden",
    "d/a.txt",
    "d/e/c.txt",
    ".git/x",
    "d/.x",
    "ü/ö.txt",
    "z z/%41.txt",
];

#[test]
fn a_tree_is_found_whole_by_default() {
    let folder = folder_with(TREE);
    let mut expected = TREE.to_vec();
    expected.sort_unstable();
    assert_eq!(found(folder.path(), json!({})), expected);
    assert_eq!(found(folder.path(), json!({"group": 1000.0})), expected);
}

#[test]
fn globs_and_hidden_files() {
    let folder = folder_with(TREE);
    let with = |options| found(folder.path(), options);
    assert_eq!(with(json!({"glob": "*.txt"})), ["a.txt"]);
    assert_eq!(
        with(json!({"glob": "**/*.txt"})),
        ["a.txt", "d/a.txt", "d/e/c.txt", "z z/%41.txt", "ü/ö.txt"]
    );
    assert_eq!(
        with(json!({"glob": "d/**"})),
        ["d/.x", "d/a.txt", "d/e/c.txt"]
    );
    assert_eq!(with(json!({"glob": "{b.md,*/a.txt}"})), ["b.md", "d/a.txt"]);
    assert_eq!(
        with(json!({"hidden": false, "glob": "**/{a,x,.x}*"})),
        ["a.txt", "d/a.txt"]
    );
    assert!(with(json!({"glob": "nothing"})).is_empty());
}

#[test]
fn an_empty_folder_and_a_folder_of_folders() {
    let folder = tempfile::tempdir().unwrap();
    assert!(found(folder.path(), json!({})).is_empty());
    fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
    assert!(found(folder.path(), json!({})).is_empty());
}

#[test]
fn wrong_definitions_are_invalid() {
    let folder = folder_with(&["file"]);
    let path = folder.path();
    for (options, part) in [
        (json!({"root": "relative"}), "absolute path"),
        (json!({"root": path.join("missing")}), "cannot open"),
        (json!({"root": path.join("file")}), "cannot open the folder"),
        (json!({"dir": "../.."}), "below the root"),
        (json!({"dir": "/etc"}), "below the root"),
        (json!({"group": 0}), "`group` must be 1 to 1000"),
        (json!({"group": 1001}), "`group`"),
        (json!({"glob": "[a"}), "glob"),
        (json!({"globs": "*"}), "unknown field `globs`"),
        (json!({"root": null}), "b64"),
    ] {
        invalid(&files(), &definition(path, options), part);
    }
    invalid(
        &files(),
        &Definition::Json(json!({})),
        "missing field `root`",
    );
    invalid(
        &Files::new(FileRoots::new([path.join("elsewhere")])),
        &definition(path, json!({})),
        "not in a folder",
    );
    invalid(
        &Files::new(FileRoots::default()),
        &definition(path, json!({})),
        "`file_roots`",
    );
}

#[test]
fn a_path_that_is_too_long_leaves_room_for_the_reason() {
    let path = std::env::temp_dir().join("folder/".repeat(1000));
    match Walk::ask(&files(), &definition(&path, json!({})), None, 10, None) {
        Err(SplitError::Invalid(sentence)) => {
            assert!(sentence.len() < 500, "{} bytes", sentence.len());
            assert!(sentence.contains("too long"), "{sentence}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sub_folder_that_is_gone_is_empty() {
    let folder = folder_with(&["a/b/file", "c"]);
    let files = files();
    let Page { children, .. } =
        Walk::page(&files, &definition(folder.path(), json!({})), None, 100);
    let Some(Child::Batch { definition, .. }) = children.last() else {
        panic!("{children:?}")
    };
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    assert_eq!(Walk::page(&files, definition, None, 100), Page::default());
    // Now a file has its name.
    fs::write(folder.path().join("a"), "").unwrap();
    assert_eq!(Walk::page(&files, definition, None, 100), Page::default());
}

#[test]
fn a_large_folder_is_read_once_while_it_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    (0..500).for_each(|number| create(folder.path(), &format!("{number:03}")));
    let files = files();
    let definition = definition(folder.path(), json!({"group": 3}));
    let warm = Some(WarmKey {
        job: Uuid::nil(),
        batch: 1,
    });
    let mut items = Vec::new();
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let page = Walk::ask(&files, &definition, cursor.as_deref(), 10, warm).unwrap();
        items.extend(page.children.into_iter().map(|child| match child {
            Child::Item(item) => item,
            Child::Batch { .. } => panic!("no folders here"),
        }));
        // What comes later is not looked for, which shows that the folder is not read again.
        create(folder.path(), "999");
        let Some(next) = page.next else { break };
        cursor = Some(next);
    }
    assert_eq!(paths(&items, 3).len(), 500);
    assert_eq!(items.len(), 500_usize.div_ceil(3));
}

#[test]
fn items_are_full_although_names_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    (0..100).for_each(|number| create(folder.path(), &format!("{number:03}")));
    let walked = Walk::run(
        &forgetful(20),
        definition(folder.path(), json!({"group": 7})),
        5,
        |_| 2,
    );
    assert_eq!(paths(&walked.leaves, 7).len(), 100);
    assert_eq!(walked.leaves.len(), 100_usize.div_ceil(7));
}

#[test]
fn long_names_make_smaller_items_and_short_pages() {
    let folder = tempfile::tempdir().unwrap();
    let name = |number: u32| format!("{number:04}{}", "\u{1}".repeat(240));
    (0..2000).for_each(|number| create(folder.path(), &name(number)));
    let items = walk(
        &files(),
        definition(folder.path(), json!({"group": 1000})),
        8,
    );
    assert_eq!(paths(&items, 1000).len(), 2000);
}
