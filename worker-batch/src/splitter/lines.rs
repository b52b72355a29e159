//! The `lines` splitter: the lines of a text, CSV or NDJSON file of any size, cut into byte ranges at line ends.
//!
//! The file itself is split into ranges without being read; a range owns the lines that *start* in it, and its pages
//! read on from the byte offset in the cursor. CSV whose quoted fields may hold line ends cannot be cut without
//! reading from the start, so it is one range, unless the definition promises that there are none; a broken promise
//! is always found, since the line on which such a field opens is read from its start.

use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::csv::{Dialect, ReadError, read_line, read_record};
use super::definition::{bounded, integer};
use super::page::unreadable_cursor;
use super::paths::{AllowedRoots, Name, blocking, check_absolute, io_error};
use super::{Child, Definition, Page, PageBuilder, PageRequest, SplitError, Splitter};

/// How many lines an item has at most.
const MAX_GROUP: usize = 1000;
/// How many bytes of the file an item of several lines takes at most, roughly, so that it stays well below what a
/// page may have.
const GROUP_BYTES: u64 = 128 << 10;
/// How large a range is.
const RANGE_BYTES: u64 = 8 << 20;
/// After how many bytes a page ends that has found nothing but blank lines.
const MAX_PAGE_READ: u64 = 16 << 20;
/// How long the header line of a CSV file is at most as JSON; every range carries it.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Settings of the `lines` splitter.
#[derive(Debug, Clone, Default)]
pub struct LinesConfig {
    /// The folders in and below which files may be read, symbolic links resolved. Empty: everywhere.
    pub allowed_roots: Vec<PathBuf>,
}

/// Splits a file by lines. See the module, and docs/SPLITTERS.md for the definition.
#[derive(Debug, Clone)]
pub struct Lines {
    allowed: AllowedRoots,
    range_bytes: u64,
}

impl Lines {
    /// A splitter with these settings.
    #[must_use]
    pub fn new(config: LinesConfig) -> Self {
        Self {
            allowed: AllowedRoots::new(config.allowed_roots),
            range_bytes: RANGE_BYTES,
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new(LinesConfig::default())
    }
}

/// The definition: what a client writes, and in sub-batches also the range.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: Name,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    header: bool,
    #[serde(default = "comma")]
    delimiter: char,
    #[serde(default = "yes")]
    quoted_newlines: bool,
    #[serde(default = "one", deserialize_with = "integer")]
    group: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<ByteRange>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Text,
    Csv,
    Ndjson,
}

fn comma() -> char {
    ','
}

fn yes() -> bool {
    true
}

fn one() -> i64 {
    1
}

/// A part of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByteRange {
    /// Lines that start at or after this byte are in the range.
    start: u64,
    /// Lines that start at or after this byte are not.
    end: u64,
    /// Where the first line of the file starts that is data.
    first: u64,
    /// The file that was cut.
    version: Version,
    /// The names of the columns of a CSV file that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
}

/// What tells that a file is no longer the one that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    /// Its length in bytes.
    length: u64,
    /// When it was changed last, in nanoseconds since 1970; 0 where the file system does not say.
    modified_ns: u64,
}

impl Version {
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

/// A definition that was checked.
#[derive(Debug)]
struct Source {
    written: Written,
    group: usize,
    dialect: Dialect,
}

impl Source {
    fn read(definition: &Definition) -> Result<Self, SplitError> {
        let written: Written = definition.read("lines")?;
        check_absolute("path", &written.path)?;
        let group = bounded("group", written.group, 1, MAX_GROUP)?;
        let is_csv = written.format == Format::Csv;
        if !is_csv && (written.header || written.delimiter != comma() || !written.quoted_newlines) {
            return Err(SplitError::invalid(
                "`header`, `delimiter` and `quoted_newlines` are for the format `csv`",
            ));
        }
        let delimiter = u8::try_from(written.delimiter)
            .ok()
            .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n'))
            .ok_or_else(|| {
                SplitError::invalid(
                    "`delimiter` must be one ASCII character, not a quote or line end",
                )
            })?;
        let dialect = Dialect {
            delimiter,
            quoted_newlines: written.quoted_newlines,
        };
        if let Some(range) = &written.range
            && !(range.first <= range.start
                && range.start <= range.end
                && range.end <= range.version.length)
        {
            return Err(SplitError::invalid("`range` is not a part of the file"));
        }
        Ok(Self {
            written,
            group,
            dialect,
        })
    }

    fn is_sequential(&self) -> bool {
        self.written.format == Format::Csv && self.dialect.quoted_newlines
    }

    fn open(&self, allowed: &AllowedRoots) -> Result<Opened, SplitError> {
        let path = allowed.resolve(&self.written.path.to_path())?;
        let failed = |error| io_error("open", &path, &error);
        // Looked at before it is opened: opening a named pipe would wait for its writer.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(SplitError::invalid(format!("{path:?} is not a file")));
        }
        let file = File::open(&path).map_err(failed)?;
        let version = Version::of(&file.metadata().map_err(failed)?);
        Ok(Opened {
            reader: BufReader::with_capacity(128 << 10, file),
            path,
            version,
        })
    }

    /// Cuts the file into ranges.
    fn ranges(
        &self,
        lines: &Lines,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, SplitError> {
        let mut opened = self.open(&lines.allowed)?;
        let seen = cursor.map(RootCursor::read).transpose()?;
        if let Some(seen) = seen {
            opened.check(seen.version)?;
        }
        let version = opened.version;
        let (first, columns) = self.start_of_data(&mut opened)?;
        let step = if self.is_sequential() {
            u64::MAX
        } else {
            lines.range_bytes
        };
        let mut start = seen.map_or(first, |seen| seen.start);
        let mut page = PageBuilder::new(limit);
        while start < version.length {
            let end = start.saturating_add(step).min(version.length);
            let range = ByteRange {
                start,
                end,
                first,
                version,
                columns: columns.clone(),
            };
            if page.is_full() || !page.push(self.sub_batch(range)?)? {
                return Ok(page.finish(Some(RootCursor { start, version }.write())));
            }
            start = end;
        }
        Ok(page.finish(None))
    }

    /// Where data starts, after a byte order mark and a header, and the columns that the header names.
    fn start_of_data(&self, opened: &mut Opened) -> Result<(u64, Option<Vec<String>>), SplitError> {
        let mut mark = Vec::new();
        opened
            .reader
            .by_ref()
            .take(3)
            .read_to_end(&mut mark)
            .map_err(|error| io_error("read", &opened.path, &error))?;
        if matches!(mark.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
            return Err(opened.invalid("is UTF-16, which is not supported: convert it to UTF-8"));
        }
        let mut start = if mark == [0xef, 0xbb, 0xbf] { 3 } else { 0 };
        opened.seek(start)?;
        if !self.written.header {
            return Ok((start, None));
        }
        loop {
            let record = read_record(&mut opened.reader, self.dialect)
                .map_err(|error| opened.fault(start, error))?;
            let Some(record) = record else {
                return Ok((start, None));
            };
            let at = start;
            start += length(record.len);
            if record.fields.is_empty() {
                continue;
            }
            let mut sorted: Vec<&String> = record.fields.iter().collect();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(opened.fault(
                    at,
                    ReadError::Content(format!("names the column {:?} twice", twice[0])),
                ));
            }
            if super::page::json_len(&json!(record.fields)) > MAX_HEADER_BYTES {
                return Err(opened.fault(
                    at,
                    ReadError::Content(format!("is a header above {MAX_HEADER_BYTES} bytes")),
                ));
            }
            return Ok((start, Some(record.fields)));
        }
    }

    fn sub_batch(&self, range: ByteRange) -> Result<Child, SplitError> {
        let written = Written {
            range: Some(range),
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

    /// Reads a page of a range.
    fn lines(
        &self,
        range: &ByteRange,
        allowed: &AllowedRoots,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, SplitError> {
        let mut opened = self.open(allowed)?;
        opened.check(range.version)?;
        let start = match cursor {
            None => opened.first_line(range)?,
            Some(bytes) => bytes
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| unreadable_cursor())?,
        };
        opened.seek(start)?;
        let mut page = PageBuilder::new(limit);
        let mut offset = start;
        while offset < range.end && !page.is_full() && offset - start < MAX_PAGE_READ {
            let (entries, next) = self.gather(&mut opened, range, offset)?;
            if let Some(item) = self.item(entries) {
                let too_large = |_| {
                    opened.fault(
                        offset,
                        ReadError::Content("takes more than 1 MiB as JSON".to_owned()),
                    )
                };
                if !page.push(Child::Item(item)).map_err(too_large)? {
                    break;
                }
            }
            offset = next;
        }
        // Asked again, since the file may have been written to while it was read.
        let metadata = opened
            .reader
            .get_ref()
            .metadata()
            .map_err(|error| io_error("read", &opened.path, &error))?;
        opened.version = Version::of(&metadata);
        opened.check(range.version)?;
        Ok(page.finish((offset < range.end).then(|| offset.to_be_bytes().to_vec())))
    }

    /// Reads the lines of one item, and says where the next line starts.
    fn gather(
        &self,
        opened: &mut Opened,
        range: &ByteRange,
        start: u64,
    ) -> Result<(Vec<Value>, u64), SplitError> {
        let mut entries = Vec::new();
        let mut offset = start;
        while entries.len() < self.group && offset < range.end {
            if offset - start >= GROUP_BYTES && self.group > 1 || offset - start >= MAX_PAGE_READ {
                break;
            }
            let entry = self
                .entry(opened, range, offset)
                .map_err(|error| opened.fault(offset, error))?;
            let Some((entry, len)) = entry else {
                return Ok((entries, range.end));
            };
            entries.extend(entry);
            offset += length(len);
        }
        Ok((entries, offset))
    }

    /// Reads one line or record, and says how long it is; nothing for a blank one that does not count. `None` at
    /// the end of the file.
    fn entry(
        &self,
        opened: &mut Opened,
        range: &ByteRange,
        offset: u64,
    ) -> Result<Option<(Option<Value>, usize)>, ReadError> {
        if self.written.format == Format::Csv {
            let Some(record) = read_record(&mut opened.reader, self.dialect)? else {
                return Ok(None);
            };
            let row = row(record.fields, range.columns.as_deref())?;
            return Ok(Some((
                row.map(|row| json!({"offset": offset, "row": row})),
                record.len,
            )));
        }
        let Some(line) = read_line(&mut opened.reader)? else {
            return Ok(None);
        };
        let content = line.content();
        let entry = match self.written.format {
            Format::Ndjson if content.trim_ascii().is_empty() => None,
            Format::Ndjson => {
                let value: Value = serde_json::from_slice(content)
                    .map_err(|error| ReadError::Content(format!("is not JSON: {error}")))?;
                Some(json!({"offset": offset, "value": value}))
            }
            Format::Text | Format::Csv => Some(match std::str::from_utf8(content) {
                Ok(text) => json!({"offset": offset, "text": text}),
                Err(_) => json!({"offset": offset, "b64": STANDARD.encode(content)}),
            }),
        };
        Ok(Some((entry, line.len())))
    }

    fn item(&self, mut entries: Vec<Value>) -> Option<Value> {
        if entries.is_empty() {
            return None;
        }
        if self.group == 1 {
            entries.pop()
        } else {
            Some(json!({"lines": entries}))
        }
    }
}

/// A CSV record as JSON; nothing for a blank line.
fn row(fields: Vec<String>, columns: Option<&[String]>) -> Result<Option<Value>, ReadError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let Some(columns) = columns else {
        return Ok(Some(Value::from(fields)));
    };
    if fields.len() != columns.len() {
        let (found, expected) = (fields.len(), columns.len());
        return Err(ReadError::Content(format!(
            "has {found} fields where the header has {expected}"
        )));
    }
    let row: Map<String, Value> = columns
        .iter()
        .cloned()
        .zip(fields.into_iter().map(Value::from))
        .collect();
    Ok(Some(Value::Object(row)))
}

/// A length within the file. On every system that is built for, `usize` has at most 64 bits.
fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// The file, open.
struct Opened {
    reader: BufReader<File>,
    path: PathBuf,
    version: Version,
}

impl Opened {
    fn check(&self, expected: Version) -> Result<(), SplitError> {
        if self.version == expected {
            return Ok(());
        }
        Err(self.invalid(format!(
            "changed while it was being split: it had {} bytes and has {}, or was written again",
            expected.length, self.version.length
        )))
    }

    fn seek(&mut self, offset: u64) -> Result<(), SplitError> {
        let path: &Path = &self.path;
        self.reader
            .seek(SeekFrom::Start(offset))
            .map(|_| ())
            .map_err(|error| io_error("read", path, &error))
    }

    /// Where the first line starts that the range owns: after the first line end at or behind the byte before it.
    fn first_line(&mut self, range: &ByteRange) -> Result<u64, SplitError> {
        if range.start == range.first {
            return Ok(range.start);
        }
        let before = range.start - 1;
        self.seek(before)?;
        // A line that began earlier and goes on over the whole range leaves nothing to own.
        let mut rest = self.reader.by_ref().take(range.end - before);
        let skipped = rest
            .skip_until(b'\n')
            .map_err(|error| io_error("read", &self.path, &error))?;
        Ok(before + length(skipped))
    }

    fn invalid(&self, sentence: impl std::fmt::Display) -> SplitError {
        SplitError::invalid(format!("{:?} {sentence}", self.path))
    }

    fn fault(&self, offset: u64, error: ReadError) -> SplitError {
        match error {
            ReadError::Io(error) => io_error("read", &self.path, &error),
            ReadError::Content(sentence) => SplitError::invalid(format!(
                "the line at byte {offset} of {:?} {sentence}",
                self.path
            )),
        }
    }
}

/// How far the ranges are cut, and of which file.
#[derive(Debug, Clone, Copy)]
struct RootCursor {
    start: u64,
    version: Version,
}

impl RootCursor {
    fn write(self) -> Vec<u8> {
        [self.start, self.version.length, self.version.modified_ns]
            .map(u64::to_be_bytes)
            .concat()
    }

    fn read(bytes: &[u8]) -> Result<Self, SplitError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        match (numbers, rest) {
            ([start, length, modified], []) => Ok(Self {
                start: u64::from_be_bytes(*start),
                version: Version {
                    length: u64::from_be_bytes(*length),
                    modified_ns: u64::from_be_bytes(*modified),
                },
            }),
            _ => Err(unreadable_cursor()),
        }
    }
}

#[async_trait]
impl Splitter for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    /// Not even of a file that stayed as it is: its lines must still be there when an item is tried again later.
    fn reproducible(&self) -> bool {
        false
    }

    fn total(&self, definition: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        Source::read(definition).map(|_| None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let source = Source::read(request.definition)?;
        let lines = self.clone();
        let cursor = request.cursor.map(<[u8]>::to_vec);
        let limit = request.limit;
        blocking(move || match &source.written.range {
            None => source.ranges(&lines, cursor.as_deref(), limit),
            Some(range) => source.lines(range, &lines.allowed, cursor.as_deref(), limit),
        })
        .await
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
