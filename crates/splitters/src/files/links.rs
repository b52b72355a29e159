//! Symbolic links in the folders of the `files` splitter: which ones count, and as what.
//!
//! Paths are compared by their text here, to tell what a link is. What is behind it is opened
//! beneath the allowed folders, whatever was told here.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use headway_files::{FileRoots, Kind};

use crate::SplitError;
use crate::paths::{Name, io_error, leads_nowhere, os_path};

/// Decides about the links in one folder.
pub(super) struct LinkTargets<'a> {
    roots: &'a FileRoots,
    /// The root as the definition has it.
    root: PathBuf,
    /// The folder, relative to the root.
    dir: &'a Name,
    /// What is needed of the way to the folder; found when the first link is met.
    way: Option<Way>,
}

struct Way {
    /// The allowed folders, without links.
    allowed: Vec<PathBuf>,
    /// Where the folders on the way from the root to here really are.
    ancestors: Vec<PathBuf>,
}

impl<'a> LinkTargets<'a> {
    pub(super) fn new(roots: &'a FileRoots, root: &Name, dir: &'a Name) -> Self {
        Self {
            roots,
            root: root.to_path(),
            dir,
            way: None,
        }
    }

    /// The kind of what a link leads to. [`Kind::Link`] if it leads nowhere, out of what is
    /// allowed, or to a folder above itself and so in a circle.
    pub(super) fn kind(&mut self, name: &OsStr) -> Result<Kind, SplitError> {
        let link = self.root.join(self.dir.to_path()).join(name);
        let found = link
            .canonicalize()
            .and_then(|target| fs::metadata(&target).map(|metadata| (target, metadata)));
        let (target, metadata) = match found {
            Ok(found) => found,
            Err(error) if leads_nowhere(&error) => return Ok(Kind::Link),
            Err(error) => return Err(io_error("follow the link", &link, &error)),
        };
        let way = self.way()?;
        if !way.allowed.iter().any(|root| target.starts_with(root)) {
            return Ok(Kind::Link);
        }
        if metadata.is_file() {
            return Ok(Kind::File);
        }
        let circles = way
            .ancestors
            .iter()
            .any(|ancestor| ancestor.starts_with(&target));
        Ok(match metadata.is_dir() && !circles {
            true => Kind::Folder,
            false => Kind::Link,
        })
    }

    fn way(&mut self) -> Result<&Way, SplitError> {
        let way = match self.way.take() {
            Some(way) => way,
            None => Way {
                allowed: self.roots.resolved(),
                ancestors: self.ancestors()?,
            },
        };
        Ok(self.way.insert(way))
    }

    fn ancestors(&self) -> Result<Vec<PathBuf>, SplitError> {
        let mut path = self.root.clone();
        let mut found = Vec::new();
        let names = self.dir.as_bytes().split(|byte| *byte == b'/');
        for name in std::iter::once(&b""[..]).chain(names) {
            if !name.is_empty() {
                path.push(os_path(name));
            }
            match path.canonicalize() {
                Ok(ancestor) => found.push(ancestor),
                Err(error) if leads_nowhere(&error) => {}
                Err(error) => return Err(io_error("open", &path, &error)),
            }
        }
        Ok(found)
    }
}
