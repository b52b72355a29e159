//! The file that the `lines` splitter reads: opened, checked to be still the one that was cut, and
//! named in errors.

use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use headway_files::{FileRoots, Links, shorten};
use serde::{Deserialize, Serialize};

use super::csv::ReadError;
use crate::SplitError;
use crate::page::unreadable_cursor;
use crate::paths::{io_error, open_error};

/// How much is read ahead.
const BUFFER_BYTES: usize = 128 << 10;

/// What tells that a file is no longer the one that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    /// Its length in bytes.
    pub length: u64,
    /// When it was changed last, in nanoseconds since 1970; 0 where the file system does not say.
    pub modified_ns: u64,
}

impl Version {
    /// Whether the length says nothing: a file of /proc, or an empty one.
    pub(super) fn is_unsized(self) -> bool {
        self.length == 0
    }

    fn of(metadata: &Metadata) -> Self {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ns = modified
            .and_then(|age| u64::try_from(age.as_nanos()).ok())
            .unwrap_or(0);
        Self {
            length: metadata.len(),
            modified_ns,
        }
    }
}

/// How far a file is cut into ranges, and which file.
#[derive(Debug, Clone, Copy)]
pub(super) struct RangesCursor {
    /// Where the next range starts.
    pub start: u64,
    /// The file that was cut.
    pub version: Version,
}

impl RangesCursor {
    pub(super) fn write(self) -> Vec<u8> {
        [self.start, self.version.length, self.version.modified_ns]
            .map(u64::to_be_bytes)
            .concat()
    }

    /// # Errors
    /// [`SplitError::Invalid`] if the bytes do not come from [`Self::write`].
    pub(super) fn read(bytes: &[u8]) -> Result<Self, SplitError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let ([start, length, modified], []) = (numbers, rest) else {
            return Err(unreadable_cursor());
        };
        let version = Version {
            length: u64::from_be_bytes(*length),
            modified_ns: u64::from_be_bytes(*modified),
        };
        Ok(Self {
            start: u64::from_be_bytes(*start),
            version,
        })
    }
}

/// A length within a file. On every system that is built for, `usize` has at most 64 bits.
pub(super) fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A file, open.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Its content from where it was [sought](Self::seek).
    pub reader: BufReader<File>,
    /// What it was when it was opened.
    pub version: Version,
    path: PathBuf,
}

impl SourceFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`SplitError`] if it may not be read, or is not a file.
    pub(super) fn open(path: &Path, roots: &FileRoots) -> Result<Self, SplitError> {
        let file = roots
            .open_file(path, Links::Follow)
            .map_err(|error| open_error("open", path, error))?;
        let metadata = file
            .metadata()
            .map_err(|error| io_error("open", path, &error))?;
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            version: Version::of(&metadata),
            path: path.to_owned(),
        })
    }

    /// Checks that the file is the one that was cut.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if it is not.
    pub(super) fn check(&self, expected: Version) -> Result<(), SplitError> {
        self.compare(self.version, expected)
    }

    /// Checks it again: the file may have been written to while it was read.
    ///
    /// # Errors
    /// As [`Self::check`], and those of the file system.
    pub(super) fn check_again(&self, expected: Version) -> Result<(), SplitError> {
        let metadata = self
            .reader
            .get_ref()
            .metadata()
            .map_err(|error| self.failed(&error))?;
        self.compare(Version::of(&metadata), expected)
    }

    fn compare(&self, found: Version, expected: Version) -> Result<(), SplitError> {
        let same = found == expected || (found.is_unsized() && expected.is_unsized());
        // What was appended since is not looked at.
        if same || found.length > expected.length {
            return Ok(());
        }
        Err(self.invalid(format!(
            "changed while it was being split: it had {} bytes and has {}, or was written again; create the job again \
             to read it as it is now",
            expected.length, found.length
        )))
    }

    /// Whether there is a first byte.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn has_content(&mut self) -> Result<bool, SplitError> {
        Ok(!self.mark()?.is_empty())
    }

    /// How many bytes were read since this one.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn read_since(&mut self, offset: u64) -> Result<usize, SplitError> {
        let position = self.reader.stream_position();
        let position = position.map_err(|error| self.failed(&error))?;
        let read = usize::try_from(position.saturating_sub(offset));
        Ok(read.unwrap_or(usize::MAX))
    }

    /// Goes to a byte.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn seek(&mut self, offset: u64) -> Result<(), SplitError> {
        match self.reader.seek(SeekFrom::Start(offset)) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Goes back over the last bytes that were read, which mostly are still in memory.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn seek_back(&mut self, bytes: usize) -> Result<(), SplitError> {
        let offset = i64::try_from(bytes).map_or(i64::MIN, i64::wrapping_neg);
        self.reader
            .seek_relative(offset)
            .map_err(|error| self.failed(&error))
    }

    /// Where the first line starts at or after `start`, which is above 0; `end` if none starts
    /// before it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn first_line(&mut self, start: u64, end: u64) -> Result<u64, SplitError> {
        // A line starts at `start` exactly if the byte before ends one.
        let before = start - 1;
        self.seek(before)?;
        let skipped = self.reader.by_ref().take(end - before).skip_until(b'\n');
        Ok(before + length(skipped.map_err(|error| self.failed(&error))?))
    }

    /// The first bytes, at most three.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn mark(&mut self) -> Result<Vec<u8>, SplitError> {
        self.seek(0)?;
        let mut mark = Vec::new();
        let read = self.reader.by_ref().take(3).read_to_end(&mut mark);
        read.map_err(|error| self.failed(&error))?;
        Ok(mark)
    }

    fn failed(&self, error: &std::io::Error) -> SplitError {
        io_error("read", &self.path, error)
    }

    /// A lasting error about the file.
    pub(super) fn invalid(&self, sentence: impl std::fmt::Display) -> SplitError {
        SplitError::invalid(format!("{} {sentence}", shorten(&self.path)))
    }

    /// An error about the line or record that starts at this byte.
    pub(super) fn fault(&self, offset: u64, error: ReadError) -> SplitError {
        match error {
            ReadError::Io(error) => self.failed(&error),
            ReadError::Content(sentence) | ReadError::Row(sentence) => {
                SplitError::invalid(format!(
                    "the line at byte {offset} of {} {sentence}",
                    shorten(&self.path)
                ))
            }
        }
    }
}
