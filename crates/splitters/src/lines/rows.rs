//! Reading the lines, records or values of a range, a page at a time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headway_files::FileRoots;
use headway_json_fault::json_fault;
use serde_json::{Map, Value, json};

use super::csv::{ReadError, read_line, read_record};
use super::definition::{BadRows, ByteRange, Format, Source};
use super::source_file::{SourceFile, length};
use crate::definition::json_len;
use crate::page::unreadable_cursor;
use crate::{Child, Page, PageBuilder, SplitError};

/// How many bytes as JSON an item of several lines takes at most, so that it stays well below what
/// a page may have.
const GROUP_BYTES: usize = 256 << 10;
/// After how many bytes a page ends that has found nothing but blank lines.
const MAX_PAGE_READ: u64 = 16 << 20;

impl Source {
    /// Reads a page of a range.
    ///
    /// # Errors
    /// [`SplitError`] if the file cannot be read, or a row of it is wrong and fails the job.
    pub(super) fn lines(
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

    /// Reads one line or record, and says how long it is; nothing for a blank one that does not
    /// count. `None` at the end of the file.
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
