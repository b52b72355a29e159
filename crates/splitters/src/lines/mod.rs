//! The `lines` splitter: the lines of a text, CSV or NDJSON file of any size, cut into byte ranges
//! at line ends.
//!
//! The file itself is split into ranges without being read; a range owns the lines that *start* in
//! it, and its pages read on from the byte offset in the cursor. CSV whose quoted fields may hold
//! line ends cannot be cut without reading from the start, so it is one range, unless the
//! definition promises that there are none; a broken promise is always found, since the line on
//! which such a field opens is read from its start.

mod csv;
mod definition;
mod ranges;
mod rows;
mod source_file;

use std::sync::Arc;

use async_trait::async_trait;
use headway_files::FileRoots;
use serde_json::Value;

use self::definition::Source;
use crate::paths::open_error;
use crate::scans::Scans;
use crate::{Definition, Page, PageRequest, SplitError, Splitter};

/// How large a range is.
const RANGE_BYTES: u64 = 8 << 20;
/// How many files are read at once.
const MAX_READS: usize = 16;
/// How many of them for one job, so that one whose file does not answer leaves some to the others.
const MAX_READS_PER_JOB: usize = 4;

/// Splits a file by lines. See the module, and docs/SPLITTERS.md for the definition.
#[derive(Debug, Clone)]
pub struct Lines {
    roots: FileRoots,
    range_bytes: u64,
    scans: Arc<Scans>,
}

impl Lines {
    /// A splitter that reads files in and below these folders.
    #[must_use]
    pub fn new(roots: FileRoots) -> Self {
        Self {
            roots,
            range_bytes: RANGE_BYTES,
            scans: Arc::new(Scans::new(MAX_READS, MAX_READS_PER_JOB)),
        }
    }
}

#[async_trait]
impl Splitter for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    /// Not even of a file that stayed as it is: its lines must still be there when an item is tried
    /// again later.
    fn reproducible(&self) -> bool {
        false
    }

    fn total(&self, definition: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        let path = Source::read(definition)?.written.path.to_path();
        self.roots
            .check(&path)
            .map_err(|error| open_error("open", &path, error))?;
        Ok(None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let source = Source::read(request.definition)?;
        let lines = self.clone();
        let cursor = request.cursor.map(<[u8]>::to_vec);
        let limit = request.limit;
        let read = move || match &source.written.range {
            None => source.ranges(&lines.roots, lines.range_bytes, cursor.as_deref(), limit),
            Some(range) => source.lines(range, &lines.roots, cursor.as_deref(), limit),
        };
        self.scans.run(request.warm, read).await
    }
}

#[cfg(test)]
mod tests;
