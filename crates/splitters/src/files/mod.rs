//! The `files` splitter: the files of a folder tree, a sub-batch per folder.
//!
//! The children of a folder are ordered by *key*: a byte for the phase (files, then folders), then
//! the name. The cursor is the last key that was seen, so "what follows" has a meaning however the
//! folder changes: no name is found twice, and none that was there all the time is missed.

mod folder;
mod glob;
mod links;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headway_files::FileRoots;
use serde_json::Value;

use self::folder::{FILES, FOLDERS, Folder};
use self::warm::{Chunk, Warm};
use crate::page::unreadable_cursor;
use crate::scans::Scans;
use crate::{Definition, Page, PageRequest, SplitError, Splitter, WarmKey};

/// Memory for the names of one folder. Above it (some 200,000 names) the folder is read once per so
/// many names.
const CHUNK_BYTES: usize = 16 << 20;
/// Memory for the names of all folders between two of their pages.
const WARM_BYTES: usize = 3 * CHUNK_BYTES;
/// How long names are kept after their last use.
const WARM_LIFETIME: Duration = Duration::from_secs(60);
/// How many folders are read at once: it bounds the memory, and disks get no faster beyond it.
const MAX_SCANS: usize = 8;
/// How many of them belong to one job, so that one whose file system does not answer leaves some to
/// the others.
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

impl Shared {
    fn page(
        &self,
        folder: &Folder,
        cursor: Option<&[u8]>,
        request: &Owned,
    ) -> Result<Page, SplitError> {
        // The first page always reads the folder: a batch that is split again must not see an old
        // state.
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
        let chunk = Arc::new(folder.scan(&self.roots, self.chunk_bytes, after)?);
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
