//! The `lines` splitter: the lines of a text, CSV or NDJSON file of any size, cut into byte ranges at line ends.
//!
//! The file itself is split into ranges without being read; a range owns the lines that *start* in it, and its pages
//! read on from the byte offset in the cursor. CSV whose quoted fields may hold line ends cannot be cut without
//! reading from the start, so it is one range, unless the definition promises that there are none; a broken promise
//! is always found, since the line on which such a field opens is read from its start.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headway_files::FileRoots;
use headway_worker::json_fault;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::csv::{Dialect, ReadError, read_line, read_record};
use super::definition::{bounded, integer};
use super::page::{json_len, unreadable_cursor};
use super::paths::{Name, check_absolute, open_error};
use super::scans::Scans;
use super::source_file::{RangesCursor, SourceFile, Version, length};
use super::{Child, Definition, Page, PageBuilder, PageRequest, SplitError, Splitter};

/// How many lines an item has at most.
const MAX_GROUP: usize = 1000;
/// How many bytes as JSON an item of several lines takes at most, so that it stays well below what a page may have.
const GROUP_BYTES: usize = 256 << 10;
/// How large a range is.
const RANGE_BYTES: u64 = 8 << 20;
/// How many files are read at once.
const MAX_READS: usize = 16;
/// How many of them for one job, so that one whose file does not answer leaves some to the others.
const MAX_READS_PER_JOB: usize = 4;
/// After how many bytes a page ends that has found nothing but blank lines.
const MAX_PAGE_READ: u64 = 16 << 20;
/// How long the header line of a CSV file is at most as JSON; every range carries it.
const MAX_HEADER_BYTES: usize = 64 << 10;

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
    #[serde(default, skip_serializing_if = "BadRows::is_fail")]
    bad_rows: BadRows,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<ByteRange>,
}

/// What becomes of a row that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BadRows {
    /// The job fails.
    #[default]
    Fail,
    /// It is left out.
    Skip,
    /// An item says what is wrong with it.
    List,
}

impl BadRows {
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
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
        if written.format == Format::Text && written.bad_rows != BadRows::Fail {
            return Err(SplitError::invalid(
                "`bad_rows` is for the formats `csv` and `ndjson`",
            ));
        }
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
                && (range.end <= range.version.length || range.version.is_unsized()))
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

    fn open(&self, roots: &FileRoots) -> Result<SourceFile, SplitError> {
        SourceFile::open(&self.written.path.to_path(), roots)
    }

    /// Cuts the file into ranges.
    fn ranges(
        &self,
        lines: &Lines,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, SplitError> {
        let mut file = self.open(&lines.roots)?;
        let seen = cursor.map(RangesCursor::read).transpose()?;
        if let Some(seen) = seen {
            file.check(seen.version)?;
        }
        // The length at the first page counts: what is appended later belongs to nobody.
        let version = seen.map_or(file.version, |seen| seen.version);
        let (first, columns) = self.start_of_data(&mut file)?;
        let step = if self.is_sequential() {
            u64::MAX
        } else {
            lines.range_bytes
        };
        let mut start = seen.map_or(first, |seen| seen.start);
        let mut page = PageBuilder::new(limit);
        // A file whose size is said to be 0 and that has content, as in /proc, is read to its end.
        let length = match version.is_unsized() && file.has_content()? {
            true => u64::MAX,
            false => version.length,
        };
        let step = match length {
            u64::MAX => u64::MAX,
            _ => step,
        };
        while start < length {
            let end = start.saturating_add(step).min(length);
            let range = ByteRange {
                start,
                end,
                first,
                version,
                columns: columns.clone(),
            };
            if page.is_full() || !page.push(self.sub_batch(range)?)? {
                return Ok(page.finish(Some(RangesCursor { start, version }.write())));
            }
            start = end;
        }
        Ok(page.finish(None))
    }

    /// Where data starts, after a byte order mark and a header, and the columns that the header names.
    fn start_of_data(
        &self,
        file: &mut SourceFile,
    ) -> Result<(u64, Option<Vec<String>>), SplitError> {
        let mark = file.mark()?;
        if matches!(mark.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
            return Err(file.invalid("is UTF-16, which is not supported: convert it to UTF-8"));
        }
        let mut start = if mark == [0xef, 0xbb, 0xbf] { 3 } else { 0 };
        file.seek(start)?;
        if !self.written.header {
            return Ok((start, None));
        }
        loop {
            let record = read_record(&mut file.reader, self.dialect)
                .map_err(|error| file.fault(start, error))?;
            let Some(record) = record else {
                return Ok((start, None));
            };
            let at = start;
            start += length(record.len);
            if record.fields.is_empty() {
                continue;
            }
            let mut sorted: Vec<(&String, usize)> = record.fields.iter().zip(1..).collect();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                let sentence = format!(
                    "gives columns {} and {} the same name",
                    twice[0].1, twice[1].1
                );
                return Err(file.fault(at, ReadError::Content(sentence)));
            }
            if json_len(&json!(record.fields)) > MAX_HEADER_BYTES {
                return Err(file.fault(
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
        roots: &FileRoots,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, SplitError> {
        let mut file = self.open(roots)?;
        file.check(range.version)?;
        let start = match cursor {
            None if range.start == range.first => range.start,
            None => file.first_line(range.start, range.end)?,
            Some(bytes) => bytes
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| unreadable_cursor())?,
        };
        file.seek(start)?;
        let mut page = PageBuilder::new(limit);
        let mut offset = start;
        while offset < range.end && !page.is_full() && offset - start < MAX_PAGE_READ {
            let (entries, next) = self.gather(&mut file, range, offset)?;
            if let Some(item) = self.item(entries) {
                let too_large = |_| {
                    file.fault(
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
        file.check_again(range.version)?;
        Ok(page.finish((offset < range.end).then(|| offset.to_be_bytes().to_vec())))
    }

    /// Reads the lines of one item, and says where the next line starts.
    fn gather(
        &self,
        file: &mut SourceFile,
        range: &ByteRange,
        start: u64,
    ) -> Result<(Vec<Value>, u64), SplitError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut offset = start;
        while entries.len() < self.group && offset < range.end && offset - start < MAX_PAGE_READ {
            let (entry, len) = match self.entry(file, range, offset) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok((entries, range.end)),
                Err(ReadError::Row(why)) if self.written.bad_rows != BadRows::Fail => {
                    let listed = json!({"offset": offset, "error": why});
                    let listed = (self.written.bad_rows == BadRows::List).then_some(listed);
                    (listed, file.read_since(offset)?)
                }
                Err(error) => return Err(file.fault(offset, error)),
            };
            if self.group > 1 {
                bytes += entry.as_ref().map_or(0, json_len);
            }
            if bytes > GROUP_BYTES && !entries.is_empty() {
                // It begins the next item.
                file.seek_back(len)?;
                break;
            }
            entries.extend(entry);
            offset += length(len);
        }
        Ok((entries, offset))
    }

    /// Reads one line or record, and says how long it is; nothing for a blank one that does not count. `None` at
    /// the end of the file.
    fn entry(
        &self,
        file: &mut SourceFile,
        range: &ByteRange,
        offset: u64,
    ) -> Result<Option<(Option<Value>, usize)>, ReadError> {
        if self.written.format == Format::Csv {
            let Some(record) = read_record(&mut file.reader, self.dialect)? else {
                return Ok(None);
            };
            let row = row(record.fields, range.columns.as_deref())?;
            return Ok(Some((
                row.map(|row| json!({"offset": offset, "row": row})),
                record.len,
            )));
        }
        let Some(line) = read_line(&mut file.reader)? else {
            return Ok(None);
        };
        let content = line.content();
        let entry = match self.written.format {
            Format::Ndjson if content.trim_ascii().is_empty() => None,
            Format::Ndjson => {
                let value: Value = serde_json::from_slice(content).map_err(|error| {
                    ReadError::Row(format!("is not JSON: {}", json_fault(&error)))
                })?;
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
        return Err(ReadError::Row(format!(
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
            None => source.ranges(&lines, cursor.as_deref(), limit),
            Some(range) => source.lines(range, &lines.roots, cursor.as_deref(), limit),
        };
        self.scans.run(request.warm, read).await
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
