//! Folders where the system cannot resolve a path beneath an open folder: paths are resolved first
//! and checked by their text. A link that is put there in between is not noticed.

use std::fs::{self, File, FileType};
use std::io;
use std::path::{Path, PathBuf};

use super::{Entry, Kind, Links, OpenError};

/// A folder.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub(super) fn open_root(root: &Path) -> Result<Self, OpenError> {
        Ok(Self(root.canonicalize()?))
    }

    fn resolve(&self, below: &Path, links: Links) -> Result<PathBuf, OpenError> {
        let path = self.0.join(below);
        let resolved = path.canonicalize()?;
        if !resolved.starts_with(&self.0) {
            return Err(OpenError::Outside);
        }
        if links == Links::Refuse && resolved != path {
            return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
        }
        Ok(resolved)
    }

    /// Opens a folder below this one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_folder(&self, below: &Path, links: Links) -> Result<Self, OpenError> {
        self.resolve(below, links).map(Self)
    }

    /// Opens a regular file below this folder.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_file(&self, below: &Path, links: Links) -> Result<File, OpenError> {
        let path = self.resolve(below, links)?;
        if !fs::metadata(&path)?.is_file() {
            return Err(OpenError::NotAFile);
        }
        Ok(File::open(path)?)
    }

    /// What is in the folder, in no particular order.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        Ok(fs::read_dir(&self.0)?.map(|entry| {
            let entry = entry?;
            let kind = kind_of(entry.file_type()?);
            Ok(Entry {
                name: entry.file_name(),
                kind,
            })
        }))
    }
}

fn kind_of(kind: FileType) -> Kind {
    if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Folder
    } else if kind.is_symlink() {
        Kind::Link
    } else {
        Kind::Other
    }
}
