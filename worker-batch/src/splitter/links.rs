//! Symbolic links in the folders of the `files` splitter: which ones count, and as what.

use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use super::SplitError;
use super::paths::{AllowedRoots, Name, io_error, leads_nowhere, os_path};

/// Decides about the links in one folder.
pub(super) struct Links<'a> {
    pub allowed: &'a AllowedRoots,
    /// The root as the definition has it.
    pub root: PathBuf,
    /// The folder, relative to the root.
    pub dir: &'a Name,
    /// Where the folders on the way from the root to here really are; found when first needed.
    pub ancestors: Option<Vec<PathBuf>>,
}

impl Links<'_> {
    /// The kind of what a link leads to. `None` if it leads nowhere, out of what is allowed, or to a folder above
    /// itself and so in a circle.
    pub(super) fn follow(&mut self, link: &Path) -> Result<Option<FileType>, SplitError> {
        let found = link
            .canonicalize()
            .and_then(|target| fs::metadata(&target).map(|metadata| (target, metadata)));
        let (target, metadata) = match found {
            Ok(found) => found,
            Err(error) if leads_nowhere(&error) => return Ok(None),
            Err(error) => return Err(io_error("follow the link", link, &error)),
        };
        if !self.allowed.allow(&target) {
            return Ok(None);
        }
        let circles = metadata.is_dir()
            && self
                .ancestors()?
                .iter()
                .any(|ancestor| ancestor.starts_with(&target));
        Ok((!circles).then(|| metadata.file_type()))
    }

    fn ancestors(&mut self) -> Result<&[PathBuf], SplitError> {
        if self.ancestors.is_none() {
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
            self.ancestors = Some(found);
        }
        Ok(self.ancestors.as_deref().unwrap_or_default())
    }
}
