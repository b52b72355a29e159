//! What is opened, and what is not, on real folders.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A folder `in` that is allowed, with a file and links of all kinds, and a folder `out` with a
/// secret.
fn world() -> (TempDir, FileRoots) {
    let world = tempfile::tempdir().unwrap();
    let (inside, outside) = (world.path().join("in"), world.path().join("out"));
    fs::create_dir_all(inside.join("deep/er")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(inside.join("deep/file"), "inside").unwrap();
    fs::write(outside.join("secret"), "outside").unwrap();
    symlink("deep/file", inside.join("relative")).unwrap();
    symlink(inside.join("deep/file"), inside.join("absolute")).unwrap();
    symlink("../deep", inside.join("deep/back")).unwrap();
    symlink(&inside, inside.join("deep/up")).unwrap();
    symlink("../out/secret", inside.join("leak")).unwrap();
    symlink(outside.join("secret"), inside.join("absolute_leak")).unwrap();
    symlink("../out", inside.join("door")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    (world, FileRoots::new([inside]))
}

fn text(file: Result<File, OpenError>) -> Result<String, OpenError> {
    let mut text = String::new();
    file?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn links_are_followed_inside_and_never_out() {
    let (world, roots) = world();
    let open =
        |name: &str, links| text(roots.open_file(&world.path().join("in").join(name), links));
    for name in [
        "relative",
        "absolute",
        "deep/back/file",
        "deep/up/deep/file",
        "deep/file",
    ] {
        assert_eq!(open(name, Links::Follow).unwrap(), "inside", "{name}");
        let refused = open(name, Links::Refuse);
        assert_eq!(refused.is_ok(), name == "deep/file", "{name} {refused:?}");
    }
    for name in ["leak", "absolute_leak", "door/secret"] {
        let error = open(name, Links::Follow).unwrap_err();
        assert!(matches!(error, OpenError::Outside), "{name} {error:?}");
        assert!(open(name, Links::Refuse).is_err(), "{name}");
    }
    assert!(matches!(open("loop", Links::Follow), Err(OpenError::Io(_))));
    assert!(matches!(open("gone", Links::Follow), Err(OpenError::Io(_))));
}

#[test]
fn paths_are_checked_by_their_text() {
    let (world, roots) = world();
    let path = |name: &str| world.path().join(name);
    assert!(roots.check(&path("in")).is_ok() && roots.check(&path("in/any/thing")).is_ok());
    for name in ["out/secret", "in/../out/secret", "inside", ""] {
        assert!(
            matches!(roots.check(&path(name)), Err(OpenError::Outside)),
            "{name}"
        );
        assert!(
            roots.open_file(&path(name), Links::Follow).is_err(),
            "{name}"
        );
    }
    assert!(matches!(
        roots.check(Path::new("in")),
        Err(OpenError::Outside)
    ));
    let none = FileRoots::default();
    assert!(matches!(none.check(&path("in")), Err(OpenError::NoRoots)));
    let everything = FileRoots::new([PathBuf::from("/")]);
    assert_eq!(
        text(everything.open_file(&path("in/leak"), Links::Follow)).unwrap(),
        "outside"
    );
}

#[test]
fn folders_below_are_opened_without_links() {
    let (world, roots) = world();
    let root = world.path().join("in");
    let open = |below: &str, links| roots.open_folder(&root, Path::new(below), links);
    assert!(open("", Links::Refuse).is_ok() && open("deep/er", Links::Refuse).is_ok());
    assert!(
        open("deep/back", Links::Follow).is_ok() && open("deep/up/deep", Links::Follow).is_ok()
    );
    for below in ["deep/back", "deep/up", "door", "../out", "deep/file"] {
        assert!(open(below, Links::Refuse).is_err(), "{below}");
    }
    for below in ["door", "../out"] {
        assert!(
            matches!(open(below, Links::Follow), Err(OpenError::Outside)),
            "{below}"
        );
    }
    let names: BTreeSet<_> = open("deep", Links::Refuse)
        .unwrap()
        .entries()
        .unwrap()
        .map(|entry| {
            entry
                .map(|entry| (entry.name, entry.kind == Kind::Link))
                .unwrap()
        })
        .collect();
    let expected = [("back", true), ("er", false), ("file", false), ("up", true)];
    assert_eq!(
        names,
        expected.map(|(name, link)| (name.into(), link)).into()
    );
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let (world, roots) = world();
    let pipe = world.path().join("in/pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for path in [pipe, world.path().join("in/deep")] {
        assert!(matches!(
            roots.open_file(&path, Links::Follow),
            Err(OpenError::NotAFile)
        ));
    }
    let devices = FileRoots::new([PathBuf::from("/dev")]);
    let error = devices.open_file(Path::new("/dev/null"), Links::Follow);
    assert!(matches!(error, Err(OpenError::NotAFile)), "{error:?}");
}

#[test]
fn a_walk_by_names_opens_the_same() {
    let (world, roots) = world();
    let folder = roots
        .open_folder(&world.path().join("in"), Path::new(""), Links::Refuse)
        .unwrap();
    let walk = |name: &str, links| system::tests::walk_to_file(&folder, Path::new(name), links);
    assert_eq!(text(walk("deep/file", Links::Refuse)).unwrap(), "inside");
    for name in [
        "relative",
        "leak",
        "door/secret",
        "deep/back/file",
        "../out/secret",
    ] {
        assert!(walk(name, Links::Refuse).is_err(), "{name}");
        assert!(
            matches!(walk(name, Links::Follow), Err(OpenError::Outside)),
            "{name}"
        );
    }
}
