//! The files of an item: checked names, and files opened without following a symbolic link.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use headway_worker::TaskError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::name::Name;

/// The codes of failures that name a file.
pub mod code {
    /// The file or its folder is not there any more.
    pub const VANISHED: &str = "VANISHED";
    /// The file cannot be opened or read.
    pub const UNREADABLE: &str = "UNREADABLE";
    /// The path is a symbolic link, or something else that is no file.
    pub const NOT_A_FILE: &str = "NOT_A_FILE";
    /// The item names files that it may not name.
    pub const BAD_SOURCE: &str = "BAD_SOURCE";
    /// The output cannot be written.
    pub const OUTPUT: &str = "OUTPUT";
    /// The job or the worker ended before the item did.
    pub const CANCELLED: &str = "CANCELLED";
}

/// An item of the `files` splitter: some files of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The absolute folder that the job is about.
    pub root: Name,
    /// The files' folder, relative to the root; empty for the root itself.
    pub dir: Name,
    /// The files' names.
    pub files: Vec<Name>,
}

/// A file of an item, opened.
#[derive(Debug)]
pub struct OpenFile {
    /// Its path relative to the root.
    pub path: Name,
    /// Its size when it was opened, in bytes.
    pub size: u64,
    /// Its content.
    pub file: File,
}

impl Source {
    /// Checks that the names stay below the root.
    ///
    /// # Errors
    /// A fatal failure with code `BAD_SOURCE`.
    pub fn check(&self) -> Result<(), TaskError> {
        let bad = |what: String| Err(TaskError::fatal(code::BAD_SOURCE, what));
        if !self.root.to_path().is_absolute() {
            return bad(format!("the root {:?} is not absolute", self.root));
        }
        if !self.dir.is_below() {
            return bad(format!("the folder {:?} is not below the root", self.dir));
        }
        if self.files.is_empty() {
            return bad("the item has no files".into());
        }
        match self.files.iter().find(|name| !name.is_single()) {
            Some(name) => bad(format!("{name:?} is not the name of a file")),
            None => Ok(()),
        }
    }

    /// What the item's output is called: the same at every try, different from that of every other
    /// item of the job, because a file is in one item only.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.dir.as_bytes());
        hash.update([0]);
        hash.update(self.files.first().map_or(&[][..], Name::as_bytes));
        hex(&hash.finalize()[..16])
    }

    /// Opens one of the files. A link is not followed, neither in its place nor in place of its folder.
    ///
    /// # Errors
    /// A fatal failure that names the file.
    pub fn open(&self, name: &Name) -> Result<OpenFile, TaskError> {
        let path = self.dir.join(name);
        let refuse = |error: io::Error| unreadable(&path, &error);
        let folder = self.folder().map_err(refuse)?;
        let place = folder.join(name.to_path());
        let seen = fs::symlink_metadata(&place).map_err(refuse)?;
        if !seen.is_file() {
            return Err(TaskError::fatal(
                code::NOT_A_FILE,
                format!("{path} is a link or no regular file"),
            ));
        }
        let file = File::open(&place).map_err(refuse)?;
        let opened = file.metadata().map_err(refuse)?;
        if (seen.dev(), seen.ino()) != (opened.dev(), opened.ino()) {
            return Err(TaskError::fatal(
                code::VANISHED,
                format!("{path} was replaced while it was opened"),
            ));
        }
        Ok(OpenFile {
            path,
            size: opened.len(),
            file,
        })
    }

    fn folder(&self) -> io::Result<PathBuf> {
        // The root itself may be named through links: whoever submitted the job chose it.
        let root = self.root.to_path().canonicalize()?;
        if self.dir.as_bytes().is_empty() {
            return Ok(root);
        }
        let folder = root.join(self.dir.to_path());
        if folder.canonicalize()? != folder {
            return Err(io::Error::other("its folder is reached through a link"));
        }
        Ok(folder)
    }
}

/// The failure of reading a file.
pub fn unreadable(path: &Name, error: &io::Error) -> TaskError {
    if error.kind() == io::ErrorKind::NotFound {
        return TaskError::fatal(code::VANISHED, format!("{path} is not there any more"));
    }
    TaskError::fatal(code::UNREADABLE, format!("{path} cannot be read: {error}"))
}

/// The failure of writing an output: it may pass, as when a disk was full.
pub fn unwritable(error: &io::Error) -> TaskError {
    TaskError::retryable(
        code::OUTPUT,
        format!("the output cannot be written: {error}"),
    )
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(root: &std::path::Path, dir: &str, files: &[&str]) -> Source {
        Source {
            root: Name::from(root.as_os_str()),
            dir: Name::from(dir),
            files: files.iter().map(|name| Name::from(*name)).collect(),
        }
    }

    #[test]
    fn what_leaves_the_root_is_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let bad = [
            source(folder.path(), "../x", &["a"]),
            source(folder.path(), "x", &["../a"]),
            source(folder.path(), "x", &[]),
            source(std::path::Path::new("relative"), "", &["a"]),
        ];
        for source in bad {
            let error = source.check().expect_err("is refused");
            assert_eq!(
                (error.code(), error.is_retryable()),
                (code::BAD_SOURCE, false)
            );
        }
        assert!(source(folder.path(), "x/y", &["a"]).check().is_ok());
        Ok(())
    }

    #[test]
    fn links_are_not_followed_and_failures_name_the_file() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("real"))?;
        fs::write(folder.path().join("real/file"), "content")?;
        std::os::unix::fs::symlink("file", folder.path().join("real/link"))?;
        std::os::unix::fs::symlink("real", folder.path().join("alias"))?;
        assert_eq!(
            source(folder.path(), "real", &["file"])
                .open(&Name::from("file"))
                .map(|open| open.size),
            Ok(7)
        );
        let cases = [
            ("real", "link", code::NOT_A_FILE),
            ("real", "gone", code::VANISHED),
            ("gone", "file", code::VANISHED),
            ("alias", "file", code::UNREADABLE),
        ];
        for (dir, file, expected) in cases {
            let error = source(folder.path(), dir, &[file])
                .open(&Name::from(file))
                .expect_err("is refused");
            assert_eq!(
                (error.code(), error.is_retryable()),
                (expected, false),
                "{dir}/{file}"
            );
            assert!(
                error.message().contains(&format!("{dir}/{file}")),
                "{}",
                error.message()
            );
        }
        Ok(())
    }

    #[test]
    fn ids_are_stable_and_differ_between_items() {
        let root = std::path::Path::new("/r");
        let one = source(root, "a", &["b", "c"]);
        assert_eq!(one.id(), one.clone().id());
        assert_eq!(one.id().len(), 32);
        assert_ne!(one.id(), source(root, "a", &["c"]).id());
        assert_ne!(one.id(), source(root, "", &["ab"]).id());
    }
}
