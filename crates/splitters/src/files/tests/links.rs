//! Links, names that are not UTF-8, and what is no regular file.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use super::*;
use crate::paths::os_path;

#[test]
fn links_are_followed_only_when_asked_and_never_in_circles() {
    let folder = folder_with(&["root/a/file", "root/b/c/deep", "other/far"]);
    let root = folder.path().join("root");
    symlink(root.join("a/file"), root.join("to_file")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    symlink("self", root.join("self")).unwrap();
    symlink(&root, root.join("a/up")).unwrap();
    symlink("..", root.join("b/c/up")).unwrap();
    symlink(folder.path(), root.join("above")).unwrap();
    symlink("../../b", root.join("a/side")).unwrap();
    symlink("../a", root.join("b/back")).unwrap();
    symlink("../other", root.join("out")).unwrap();
    symlink(&root, folder.path().join("other/home")).unwrap();
    assert_eq!(found(&root, json!({})), ["a/file", "b/c/deep"]);
    let followed = found(&root, json!({"follow_links": true}));
    for path in ["a/file", "to_file", "b/c/deep", "out/far", "b/back/file"] {
        assert!(
            followed.iter().any(|other| other == path),
            "{path} is not in {followed:?}"
        );
    }
    let distinct: BTreeSet<&String> = followed.iter().collect();
    assert_eq!(distinct.len(), followed.len());
}

#[test]
fn links_do_not_lead_out_of_what_is_allowed() {
    let folder = folder_with(&["root/d/file", "secret/key"]);
    let root = folder.path().join("root");
    symlink(folder.path().join("secret"), root.join("d/link")).unwrap();
    symlink(folder.path().join("secret/key"), root.join("key")).unwrap();
    let files = Files::new(FileRoots::new([root.clone()]));
    let items = walk(&files, definition(&root, json!({"follow_links": true})), 1);
    assert_eq!(paths(&items, 1), [b"d/file"]);
    // Also if the sub-batch is written by hand, or the folder becomes a link after it was found.
    for options in [
        json!({"dir": "d/link"}),
        json!({"dir": "d/link", "follow_links": true}),
    ] {
        assert_eq!(
            Walk::page(&files, &definition(&root, options), None, 10),
            Page::default()
        );
    }
    assert_eq!(
        Walk::page(
            &super::files(),
            &definition(&root, json!({"dir": "d/link"})),
            None,
            10
        ),
        Page::default()
    );
}

#[test]
fn names_that_are_not_utf_8_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join(os_path(b"d\xff"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(os_path(b"f\xfe")), "").unwrap();
    let items = walk(&files(), definition(folder.path(), json!({})), 1);
    assert_eq!(items[0]["files"], json!([{"b64": "Zv4="}]));
    assert_eq!(paths(&items, 1), [b"d\xff/f\xfe"]);
}

#[test]
fn only_regular_files_count() {
    let folder = folder_with(&["file"]);
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    assert_eq!(
        found(folder.path(), json!({"follow_links": true})),
        ["file"]
    );
}
