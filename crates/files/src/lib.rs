//! Opens files and folders beneath the folders that a deployment allows, and never outside of them.
//!
//! [`FileRoots`] is the setting `file_roots`. The kernel resolves each path beneath an open root,
//! so a symbolic link, also one that is put there while a path is being opened, cannot lead out.
//! What is read, and what an error means to a job, is the caller's business.

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(not(unix))]
#[path = "other.rs"]
mod system;

mod shorten;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

pub use shorten::shorten;
pub use system::Folder;

/// What a sentence says where no folder is allowed.
pub const NO_ROOTS: &str =
    "this deployment lets jobs read no files: its operator must list folders in `file_roots`";

/// Why a path was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No folder is allowed.
    #[error("{NO_ROOTS}")]
    NoRoots,
    /// The path lies outside the allowed folders, by its text or through a symbolic link.
    #[error("it is not in a folder that `file_roots` of this deployment allows")]
    Outside,
    /// Something else than a regular file stands there.
    #[error("it is not a regular file")]
    NotAFile,
    /// The file system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What happens with symbolic links on the way to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are followed as long as they stay inside the roots.
    Follow,
    /// A path through one is an error (`ELOOP` or `ENOTDIR`).
    Refuse,
}

/// What stands in a folder under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// What it is; a link is not followed.
    pub kind: Kind,
}

/// The folders in and below which files may be read. Cheap to clone; empty by default, which allows
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileRoots(Arc<[PathBuf]>);

impl FileRoots {
    /// These folders; `/` allows everything that the process may read.
    #[must_use]
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(roots.into_iter().collect())
    }

    /// Whether no folder is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a path by its text alone, without asking the file system.
    ///
    /// # Errors
    /// [`OpenError::NoRoots`] and [`OpenError::Outside`].
    pub fn check(&self, path: &Path) -> Result<(), OpenError> {
        self.locate(path).map(|_| ())
    }

    /// The allowed folders with their own symbolic links resolved; those that cannot be reached are
    /// left out.
    #[must_use]
    pub fn resolved(&self) -> Vec<PathBuf> {
        self.0
            .iter()
            .filter_map(|root| root.canonicalize().ok())
            .collect()
    }

    /// Opens a regular file for reading. Anything else is refused without being opened.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_file(&self, path: &Path, links: Links) -> Result<File, OpenError> {
        let (root, below) = self.locate(path)?;
        self.reach(root, below, links, &|folder, below, links| {
            folder.open_file(below, links)
        })
    }

    /// Opens the folder `below` in `root`. Links on the way to `root` are followed inside the
    /// allowed folders.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_folder(
        &self,
        root: &Path,
        below: &Path,
        links: Links,
    ) -> Result<Folder, OpenError> {
        let open = |folder: &Folder, below: &Path, links| folder.open_folder(below, links);
        if links == Links::Follow {
            let path = root.join(below);
            let (root, below) = self.locate(&path)?;
            return self.reach(root, below, links, &open);
        }
        let (allowed, rest) = self.locate(root)?;
        let folder = self.reach(allowed, rest, Links::Follow, &open)?;
        if below.as_os_str().is_empty() {
            return Ok(folder);
        }
        folder.open_folder(below, Links::Refuse)
    }

    /// Opens something beneath an allowed folder. A link that leads out of it, or is absolute, is
    /// resolved by its text and opened from the allowed folder that it leads into.
    fn reach<T>(
        &self,
        root: &Path,
        below: &Path,
        links: Links,
        open: &dyn Fn(&Folder, &Path, Links) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        match open(&Folder::open_root(root)?, below, links) {
            Err(OpenError::Outside) if links == Links::Follow => {
                let target = root.join(below).canonicalize().map_err(hide)?;
                let roots = self.resolved();
                let inside = roots
                    .iter()
                    .find_map(|root| Some((root, target.strip_prefix(root).ok()?)));
                let (root, below) = inside.ok_or(OpenError::Outside)?;
                // There was no link left in it; one that appeared since is refused.
                open(&Folder::open_root(root)?, below, Links::Refuse)
            }
            other => other,
        }
    }

    /// The allowed folder that a path lies in, and the path within it.
    fn locate<'a>(&'a self, path: &'a Path) -> Result<(&'a Path, &'a Path), OpenError> {
        if self.is_empty() {
            return Err(OpenError::NoRoots);
        }
        let leads_up = path
            .components()
            .any(|component| component == Component::ParentDir);
        if leads_up || !path.is_absolute() {
            return Err(OpenError::Outside);
        }
        self.0
            .iter()
            .find_map(|root| Some((root.as_path(), path.strip_prefix(root).ok()?)))
            .ok_or(OpenError::Outside)
    }
}

/// Whether there is something outside must not be told.
fn hide(error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::PermissionDenied => OpenError::Outside,
        _ => error.into(),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
