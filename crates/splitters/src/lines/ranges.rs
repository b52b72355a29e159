//! Cutting a file into ranges without reading it, but for its header.

use headway_files::FileRoots;
use serde_json::json;

use super::csv::{ReadError, read_record};
use super::definition::{ByteRange, Source};
use super::source_file::{RangesCursor, SourceFile, length};
use crate::definition::json_len;
use crate::{Page, PageBuilder, SplitError};

/// How long the header line of a CSV file is at most as JSON; every range carries it.
const MAX_HEADER_BYTES: usize = 64 << 10;

impl Source {
    /// Cuts the file into ranges of this many bytes.
    ///
    /// # Errors
    /// [`SplitError`] if the file cannot be read, or is not what the definition says.
    pub(super) fn ranges(
        &self,
        roots: &FileRoots,
        range_bytes: u64,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, SplitError> {
        let mut file = self.open(roots)?;
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
            range_bytes
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

    /// Where data starts, after a byte order mark and a header, and the columns that the header
    /// names.
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
}
