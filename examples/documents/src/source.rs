//! The files of an item: checked names, and files opened beneath the folders that a deployment
//! allows.

use std::fs::File;
use std::io;

use headway_files::{FileRoots, Links, OpenError, shorten};
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
    /// Something else than a regular file stands there.
    pub const NOT_A_FILE: &str = "NOT_A_FILE";
    /// The item names files or folders that it may not name.
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
    /// Whether a name may be a symbolic link; it must lead to a file in the allowed folders.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow_links: bool,
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
            return bad("the root is not an absolute path".into());
        }
        if !self.dir.is_below() {
            return bad("the folder is not below the root".into());
        }
        if self.files.is_empty() {
            return bad("the item has no files".into());
        }
        match self.files.iter().position(|name| !name.is_single()) {
            Some(number) => bad(format!("file {} is not the name of a file", number + 1)),
            None => Ok(()),
        }
    }

    /// Opens one of the files, beneath the allowed folders.
    ///
    /// # Errors
    /// A fatal failure that names the file.
    pub fn open(&self, name: &Name, roots: &FileRoots) -> Result<OpenFile, TaskError> {
        let path = self.dir.join(name);
        let links = match self.follow_links {
            true => Links::Follow,
            false => Links::Refuse,
        };
        let opened = match self.follow_links {
            // From the root, because a link may lead out of the folder.
            true => roots.open_file(&self.root.to_path().join(path.to_path()), links),
            false => roots
                .open_folder(&self.root.to_path(), &self.dir.to_path(), links)
                .and_then(|folder| folder.open_file(&name.to_path(), links)),
        };
        let file = opened.map_err(|error| not_opened(&path, error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&path, &error))?;
        Ok(OpenFile {
            path,
            size: metadata.len(),
            file,
        })
    }
}

/// The failure of opening a file.
fn not_opened(path: &Name, error: OpenError) -> TaskError {
    let shown = shorten(&path.to_path());
    match error {
        OpenError::Io(error) => unreadable(path, &error),
        OpenError::NotAFile => {
            TaskError::fatal(code::NOT_A_FILE, format!("{shown} is not a regular file"))
        }
        OpenError::NoRoots => TaskError::fatal(code::BAD_SOURCE, headway_files::NO_ROOTS),
        OpenError::Outside => TaskError::fatal(
            code::BAD_SOURCE,
            format!("{shown} is not in a folder that `file_roots` of this worker allows"),
        ),
    }
}

/// What an item's output is called: the same at every try, different from that of every other item
/// of any job.
pub fn output_name(job: &str, item: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(job);
    hash.update([0]);
    hash.update(item);
    hex(&hash.finalize()[..16])
}

/// The failure of reading a file.
pub fn unreadable(path: &Name, error: &io::Error) -> TaskError {
    let shown = shorten(&path.to_path());
    if error.kind() == io::ErrorKind::NotFound {
        return TaskError::fatal(code::VANISHED, format!("{shown} is not there any more"));
    }
    TaskError::fatal(code::UNREADABLE, format!("{shown} cannot be read: {error}"))
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
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn source(root: &std::path::Path, dir: &str, files: &[&str]) -> Source {
        Source {
            root: Name::from(root.as_os_str()),
            dir: Name::from(dir),
            files: files.iter().map(|name| Name::from(*name)).collect(),
            follow_links: false,
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
    fn links_stay_in_the_allowed_folders_and_failures_name_the_file() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("real"))?;
        fs::write(root.join("real/file"), "content")?;
        fs::write(folder.path().join("secret"), "secret")?;
        symlink("file", root.join("real/link"))?;
        symlink("../../secret", root.join("real/leak"))?;
        symlink("real", root.join("alias"))?;
        let roots = FileRoots::new([root.clone()]);
        let open = |dir: &str, file: &str, follow_links| {
            let source = Source {
                follow_links,
                ..source(&root, dir, &[file])
            };
            source.open(&Name::from(file), &roots)
        };
        assert_eq!(open("real", "file", false).map(|open| open.size), Ok(7));
        for (dir, file) in [("real", "link"), ("alias", "file")] {
            assert_eq!(
                open(dir, file, true).map(|open| open.size),
                Ok(7),
                "{dir}/{file}"
            );
        }
        let cases = [
            ("real", "link", false, code::UNREADABLE),
            ("alias", "file", false, code::UNREADABLE),
            ("real", "gone", false, code::VANISHED),
            ("gone", "file", false, code::VANISHED),
            ("real", "leak", false, code::UNREADABLE),
            ("real", "leak", true, code::BAD_SOURCE),
        ];
        for (dir, file, follow_links, expected) in cases {
            let error = open(dir, file, follow_links).expect_err("is refused");
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
        let none =
            source(&root, "real", &["file"]).open(&Name::from("file"), &FileRoots::default());
        assert!(
            none.expect_err("is refused")
                .message()
                .contains("file_roots")
        );
        Ok(())
    }

    #[test]
    fn outputs_are_told_apart_by_job_and_item() {
        let name = output_name("partitions/p/jobs/a", "1-0");
        assert_eq!(name, output_name("partitions/p/jobs/a", "1-0"));
        assert_eq!(name.len(), 32);
        assert_ne!(name, output_name("partitions/p/jobs/b", "1-0"));
        assert_ne!(name, output_name("partitions/p/jobs/a", "1-1"));
    }
}
