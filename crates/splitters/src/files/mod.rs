//! The `files` splitter: the files of a folder tree, a sub-batch per folder.
//!
//! The children of a folder are ordered by *key*: a byte for the phase (files, then folders), then the name. The
//! cursor is the last key that was seen, so "what follows" has a meaning however the folder changes: no name is
//! found twice, and none that was there all the time is missed.

mod glob;
mod links;
mod warm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headway_files::{FileRoots, Kind, Links, OpenError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::glob::Glob;
use self::links::LinkTargets;
use self::warm::{Chunk, Smallest, Warm};
use crate::definition::{bounded, integer};
use crate::page::unreadable_cursor;
use crate::paths::{
    Name, check_absolute, check_below, io_error, is_gone, leads_nowhere, open_error, os_bytes,
};
use crate::scans::Scans;
use crate::{Child, Definition, Page, PageBuilder, PageRequest, SplitError, Splitter, WarmKey};

/// Phase of the files of a folder.
const FILES: u8 = 0;
/// Phase of the folders in a folder.
const FOLDERS: u8 = 1;
/// How many files an item has at most.
const MAX_GROUP: usize = 1000;
/// How many bytes of names an item has at most, roughly, so that it stays well below what a page may have.
const GROUP_BYTES: usize = 128 << 10;
/// Memory for the names of one folder. Above it (some 200,000 names) the folder is read once per so many names.
const CHUNK_BYTES: usize = 16 << 20;
/// Memory for the names of all folders between two of their pages.
const WARM_BYTES: usize = 3 * CHUNK_BYTES;
/// How long names are kept after their last use.
const WARM_LIFETIME: Duration = Duration::from_secs(60);
/// How many folders are read at once: it bounds the memory, and disks get no faster beyond it.
const MAX_SCANS: usize = 8;
/// How many of them belong to one job, so that one whose file system does not answer leaves some to the others.
const MAX_SCANS_PER_JOB: usize = 3;

/// Splits a folder tree. See the module, and docs/SPLITTERS.md for the definition.
#[derive(Debug)]
pub struct Files {
    shared: Arc<Shared>,
    scans: Scans,
}

#[derive(Debug)]
struct Shared {
    roots: FileRoots,
    warm: Warm,
    chunk_bytes: usize,
}

impl Files {
    /// A splitter that finds files in and below these folders.
    #[must_use]
    pub fn new(roots: FileRoots) -> Self {
        Self::with_memory(roots, CHUNK_BYTES)
    }

    fn with_memory(roots: FileRoots, chunk_bytes: usize) -> Self {
        let shared = Shared {
            roots,
            warm: Warm::new(WARM_BYTES, WARM_LIFETIME),
            chunk_bytes,
        };
        Self {
            shared: Arc::new(shared),
            scans: Scans::new(MAX_SCANS, MAX_SCANS_PER_JOB),
        }
    }
}

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
struct Folder {
    written: Written,
    group: usize,
    glob: Glob,
}

impl Folder {
    fn read(definition: &Definition) -> Result<Self, SplitError> {
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

    /// Checks what the definition names against the allowed folders, without asking the file system.
    fn check(&self, roots: &FileRoots) -> Result<(), SplitError> {
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

    /// Opens the folder; `None` if it is not there any more. A folder that was replaced by a link since its name was
    /// found is not that folder any more.
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
    fn scan(&self, shared: &Shared, cursor: &[u8]) -> Result<Chunk, SplitError> {
        let mut keys = Smallest::new(cursor, shared.chunk_bytes);
        let Some(folder) = self.open(&shared.roots)? else {
            return Ok(keys.finish());
        };
        let failed = |error| io_error("read the folder", &self.path(), &error);
        let mut targets = LinkTargets::new(&shared.roots, &self.written.root, &self.written.dir);
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
            // Most names of a large folder end here, before a link is followed or the glob is asked.
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

    /// Makes a page of what follows the cursor; `None` if the chunk does not reach far enough. An item that the end
    /// of the chunk cuts short is left to the next page, unless `fresh` says that reading the folder again would
    /// give no more.
    fn page(
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

impl Shared {
    fn page(
        &self,
        folder: &Folder,
        cursor: Option<&[u8]>,
        request: &Owned,
    ) -> Result<Page, SplitError> {
        // The first page always reads the folder: a batch that is split anew must not see an old state.
        let after = cursor.unwrap_or_default();
        let known = request
            .warm
            .filter(|_| cursor.is_some())
            .and_then(|key| self.warm.get(key));
        if let Some(chunk) = known
            && let Some(page) = folder.page(&chunk, after, request.limit, false)?
        {
            self.remember(request, &page, &chunk);
            return Ok(page);
        }
        let chunk = Arc::new(folder.scan(self, after)?);
        let page = folder
            .page(&chunk, after, request.limit, true)?
            .unwrap_or_default();
        self.remember(request, &page, &chunk);
        Ok(page)
    }

    fn remember(&self, request: &Owned, page: &Page, chunk: &Arc<Chunk>) {
        let Some(key) = request.warm else { return };
        if page.next.is_some() {
            self.warm.put(key, Arc::clone(chunk));
        } else {
            self.warm.remove(key);
        }
    }
}

/// What of a request a blocking thread needs.
struct Owned {
    cursor: Option<Vec<u8>>,
    limit: usize,
    warm: Option<WarmKey>,
}

#[async_trait]
impl Splitter for Files {
    fn name(&self) -> &str {
        "files"
    }

    fn reproducible(&self) -> bool {
        false
    }

    fn total(&self, definition: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        Folder::read(definition)?.check(&self.shared.roots)?;
        Ok(None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let folder = Folder::read(request.definition)?;
        let owned = Owned {
            cursor: request.cursor.map(<[u8]>::to_vec),
            limit: request.limit,
            warm: request.warm,
        };
        if owned
            .cursor
            .as_ref()
            .is_some_and(|cursor| !matches!(cursor.first(), Some(&(FILES | FOLDERS))))
        {
            return Err(unreadable_cursor());
        }
        let shared = Arc::clone(&self.shared);
        self.scans
            .run(request.warm, move || {
                shared.page(&folder, owned.cursor.as_deref(), &owned)
            })
            .await
    }
}

#[cfg(test)]
mod tests;
