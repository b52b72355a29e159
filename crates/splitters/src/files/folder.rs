//! One folder of a tree: the definition that names it, what is found in it, and its pages.

use std::path::{Path, PathBuf};

use headway_files::{FileRoots, Kind, Links, OpenError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::glob::Glob;
use super::links::LinkTargets;
use super::warm::{Chunk, Smallest};
use crate::definition::{bounded, integer};
use crate::paths::{
    Name, check_absolute, check_below, io_error, is_gone, leads_nowhere, open_error, os_bytes,
};
use crate::{Child, Definition, Page, PageBuilder, SplitError};

/// Phase of the files of a folder.
pub(super) const FILES: u8 = 0;
/// Phase of the folders in a folder.
pub(super) const FOLDERS: u8 = 1;
/// How many files an item has at most.
pub(super) const MAX_GROUP: usize = 1000;
/// How many bytes of names an item has at most, roughly, so that it stays well below what a page
/// may have.
const GROUP_BYTES: usize = 128 << 10;

/// The definition: what a client writes, and in sub-batches also the folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    root: Name,
    #[serde(default = "everything")]
    glob: String,
    #[serde(default = "one", deserialize_with = "integer")]
    group: i64,
    #[serde(default)]
    follow_links: bool,
    #[serde(default = "yes")]
    hidden: bool,
    /// The folder of a sub-batch, relative to the root.
    #[serde(default)]
    dir: Name,
}

fn everything() -> String {
    "**/*".to_owned()
}

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}

/// One folder of a tree, checked.
#[derive(Debug)]
pub(super) struct Folder {
    written: Written,
    group: usize,
    glob: Glob,
}

impl Folder {
    /// Reads and checks a definition.
    pub(super) fn read(definition: &Definition) -> Result<Self, SplitError> {
        let written: Written = definition.read("files")?;
        check_absolute("root", &written.root)?;
        check_below("dir", &written.dir)?;
        let group = bounded("group", written.group, 1, MAX_GROUP)?;
        let glob = Glob::new(&written.glob)?;
        Ok(Self {
            written,
            group,
            glob,
        })
    }

    /// Checks what the definition names against the allowed folders, without asking the file
    /// system.
    pub(super) fn check(&self, roots: &FileRoots) -> Result<(), SplitError> {
        let root = self.written.root.to_path();
        roots
            .check(&root)
            .map_err(|error| open_error("open", &root, error))
    }

    fn is_root(&self) -> bool {
        self.written.dir.as_bytes().is_empty()
    }

    /// The folder's path, for messages.
    fn path(&self) -> PathBuf {
        let root = self.written.root.to_path();
        match self.is_root() {
            true => root,
            false => root.join(self.written.dir.to_path()),
        }
    }

    /// Opens the folder; `None` if it is not there any more. A folder that was replaced by a link
    /// since its name was found is not that folder any more.
    fn open(&self, roots: &FileRoots) -> Result<Option<headway_files::Folder>, SplitError> {
        let links = match self.written.follow_links {
            true => Links::Follow,
            false => Links::Refuse,
        };
        let (root, dir) = (self.written.root.to_path(), self.written.dir.to_path());
        if self.is_root() {
            let opened = roots.open_folder(&root, Path::new(""), Links::Follow);
            return opened
                .map(Some)
                .map_err(|error| open_error("open the folder", &root, error));
        }
        match roots.open_folder(&root, &dir, links) {
            Ok(folder) => Ok(Some(folder)),
            Err(OpenError::Outside) => Ok(None),
            Err(OpenError::Io(error)) if leads_nowhere(&error) => Ok(None),
            Err(error) => Err(open_error("open the folder", &self.path(), error)),
        }
    }

    /// Reads the folder and gathers the smallest keys above the cursor.
    pub(super) fn scan(
        &self,
        roots: &FileRoots,
        chunk_bytes: usize,
        cursor: &[u8],
    ) -> Result<Chunk, SplitError> {
        let mut keys = Smallest::new(cursor, chunk_bytes);
        let Some(folder) = self.open(roots)? else {
            return Ok(keys.finish());
        };
        let failed = |error| io_error("read the folder", &self.path(), &error);
        let mut targets = LinkTargets::new(roots, &self.written.root, &self.written.dir);
        let mut key = Vec::new();
        for entry in folder.entries().map_err(failed)? {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if is_gone(&error) && !self.is_root() => break,
                Err(error) => return Err(failed(error)),
            };
            let name = os_bytes(&entry.name);
            if !self.written.hidden && name.starts_with(b".") {
                continue;
            }
            // Most names of a large folder end here, before a link is followed or the glob is
            // asked.
            key.clear();
            key.push(FOLDERS);
            key.extend_from_slice(name);
            let wanted_as_folder = keys.wants(&key);
            key[0] = FILES;
            if !wanted_as_folder && !keys.wants(&key) {
                continue;
            }
            let kind = match entry.kind {
                Kind::Link if self.written.follow_links => targets.kind(&entry.name)?,
                other => other,
            };
            let Some(phase) = phase_of(kind) else {
                continue;
            };
            key[0] = phase;
            if keys.wants(&key) && self.takes(phase, name) {
                keys.offer(&key);
            }
        }
        Ok(keys.finish())
    }

    fn takes(&self, phase: u8, name: &[u8]) -> bool {
        let path = self.written.dir.join(name);
        if phase == FILES {
            self.glob.takes(path.as_bytes())
        } else {
            self.glob.may_take_below(path.as_bytes())
        }
    }

    /// Makes a page of what follows the cursor; `None` if the chunk does not reach far enough. An
    /// item that the end of the chunk cuts short is left to the next page, unless `fresh` says that
    /// reading the folder again would give no more.
    pub(super) fn page(
        &self,
        chunk: &Chunk,
        cursor: &[u8],
        limit: usize,
        fresh: bool,
    ) -> Result<Option<Page>, SplitError> {
        let Some(keys) = chunk.keys_after(cursor) else {
            return Ok(None);
        };
        let mut page = PageBuilder::new(limit);
        let mut taken = 0;
        while taken < keys.len() && !page.is_full() {
            let (child, size) = match keys[taken].split_first() {
                Some((&FOLDERS, name)) => (self.sub_batch(name)?, 1),
                _ => {
                    let names = self.group(&keys[taken..]);
                    let cut = taken + names.len() == keys.len()
                        && !chunk.complete
                        && names.len() < self.group;
                    if cut && (!fresh || !page.is_empty()) {
                        break;
                    }
                    (self.item(&names), names.len())
                }
            };
            if !page.push(child)? {
                break;
            }
            taken += size;
        }
        let exhausted = taken == keys.len() && chunk.complete;
        match taken.checked_sub(1).map(|last| keys[last].to_vec()) {
            None if !exhausted => Ok(None),
            last => Ok(Some(page.finish(if exhausted { None } else { last }))),
        }
    }

    /// The names at the start of the keys that make one item.
    fn group(&self, keys: &[Box<[u8]>]) -> Vec<Name> {
        let mut bytes = 0;
        keys.iter()
            .take(self.group)
            .map_while(|key| key.strip_prefix(&[FILES]))
            .take_while(|name| {
                bytes += name.len();
                bytes <= GROUP_BYTES
            })
            .map(Name::from)
            .collect()
    }

    fn item(&self, files: &[Name]) -> Child {
        let mut item = json!({"root": self.written.root, "dir": self.written.dir, "files": files});
        if self.written.follow_links {
            // The worker must know that a name may be a link.
            item["follow_links"] = json!(true);
        }
        Child::Item(item)
    }

    fn sub_batch(&self, name: &[u8]) -> Result<Child, SplitError> {
        let written = Written {
            dir: self.written.dir.join(name),
            ..self.written.clone()
        };
        let definition = serde_json::to_value(written).map_err(|error| {
            SplitError::invalid(format!("a sub-batch cannot be written: {error}"))
        })?;
        Ok(Child::Batch {
            definition: Definition::Json(definition),
            total: None,
        })
    }
}

/// Links that are not followed, pipes, sockets and devices are no files to work on.
fn phase_of(kind: Kind) -> Option<u8> {
    match kind {
        Kind::File => Some(FILES),
        Kind::Folder => Some(FOLDERS),
        Kind::Link | Kind::Other => None,
    }
}
