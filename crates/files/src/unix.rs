//! Folders as open descriptors: everything below is resolved from there by the kernel.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, open, openat, statat};
use rustix::io::Errno;

use super::{Entry, Kind, Links, OpenError};

/// How a folder is opened.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// How a file is opened: opening, or reading, something that has no data yet does not wait for it.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// A folder, open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    pub(super) fn open_root(root: &Path) -> Result<Self, OpenError> {
        Ok(Self(open(root, FOLDER, Mode::empty()).map_err(error)?))
    }

    /// Opens a folder below this one.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Outside`] if a link leads out of this folder.
    pub fn open_folder(&self, below: &Path, links: Links) -> Result<Self, OpenError> {
        self.open(below, FOLDER, links).map(Self)
    }

    /// Opens a regular file below this folder. Anything else is refused without being opened.
    ///
    /// # Errors
    /// As [`Self::open_folder`], and [`OpenError::NotAFile`].
    pub fn open_file(&self, below: &Path, links: Links) -> Result<File, OpenError> {
        // Opening a device may have effects, so it is looked at first where the system can do so by
        // a descriptor.
        #[cfg(target_os = "linux")]
        check_file(&self.open(below, OFlags::PATH | OFlags::CLOEXEC, links)?)?;
        let file = self.open(below, FILE, links)?;
        check_file(&file)?;
        Ok(file.into())
    }

    /// What is in the folder, in no particular order.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        let entries = Dir::read_from(&self.0)?;
        Ok(entries.filter_map(|entry| match entry {
            Ok(entry) => self.entry(&entry).transpose(),
            Err(error) => Some(Err(error.into())),
        }))
    }

    /// `None` for the folder itself, its parent, and what is gone since.
    fn entry(&self, entry: &rustix::fs::DirEntry) -> io::Result<Option<Entry>> {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            return Ok(None);
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            known => known,
        };
        Ok(Some(Entry {
            name: OsStr::from_bytes(name.to_bytes()).to_owned(),
            kind: kind_of(kind),
        }))
    }

    fn open(&self, below: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, OpenError> {
        match beneath(&self.0, below, flags, links) {
            Some(opened) => opened,
            None => self.walk(below, flags, links),
        }
    }

    /// Opens one name after the other and follows no link: for systems that cannot resolve a path
    /// beneath a folder in one call. A path with links is said to lead outside, so that it is
    /// resolved by its text.
    fn walk(&self, below: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, OpenError> {
        let mut names = below.components().peekable();
        let mut folder = openat(&self.0, ".", FOLDER, Mode::empty()).map_err(error)?;
        while let Some(name) = names.next() {
            let Component::Normal(name) = name else {
                return Err(OpenError::Outside);
            };
            let last = names.peek().is_none();
            let flags = if last { flags } else { FOLDER };
            folder = openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(
                |errno| match errno {
                    Errno::LOOP | Errno::NOTDIR if links == Links::Follow => OpenError::Outside,
                    other => error(other),
                },
            )?;
        }
        Ok(folder)
    }
}

/// Opens a path beneath a folder in one call; `None` where the system has no such call.
#[cfg(target_os = "linux")]
fn beneath(
    folder: &OwnedFd,
    below: &Path,
    flags: OFlags,
    links: Links,
) -> Option<Result<OwnedFd, OpenError>> {
    use rustix::fs::{ResolveFlags, openat2};

    /// The kernel gives up where folders are renamed meanwhile, and asks to be called again.
    const TRIES: usize = 16;
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let path = match below.as_os_str().is_empty() {
        true => Path::new("."),
        false => below,
    };
    let mut result = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        result = openat2(folder, path, flags, Mode::empty(), resolve);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    match result {
        // Not known to the kernel, or hidden by a container.
        Err(Errno::NOSYS | Errno::PERM) => None,
        other => Some(other.map_err(error)),
    }
}

#[cfg(not(target_os = "linux"))]
fn beneath(_: &OwnedFd, _: &Path, _: OFlags, _: Links) -> Option<Result<OwnedFd, OpenError>> {
    None
}

fn check_file(file: &OwnedFd) -> Result<(), OpenError> {
    let stat = fstat(file).map_err(error)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(OpenError::NotAFile),
    }
}

fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

fn error(errno: Errno) -> OpenError {
    match errno {
        // A link leads out of the folder, or is absolute.
        Errno::XDEV => OpenError::Outside,
        other => OpenError::Io(other.into()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Opens a file as on a system that has no call for it.
    pub(crate) fn walk_to_file(
        folder: &Folder,
        below: &Path,
        links: Links,
    ) -> Result<File, OpenError> {
        folder.walk(below, FILE, links).map(File::from)
    }
}
