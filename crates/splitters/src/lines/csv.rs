//! Lines and CSV records of a file, one at a time, in bounded memory.
//!
//! CSV is that of RFC 4180, with LF as well as CRLF, any one-byte delimiter, and strict about
//! quotes. It is read by hand because csv-core, and csv over it, take text after a closing quote
//! for a part of the field, a lone CR for the end of a record, and leave out blank lines without a
//! word: then a broken promise of `quoted_newlines` would not be found, and rows would not be those
//! of the lines.

use std::io::{self, BufRead, Read};

/// How long a line or a record is at most, without its end: 1 MiB.
pub(super) const MAX_RECORD_BYTES: usize = 1 << 20;

/// Why there is no line or record.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The file system failed.
    Io(io::Error),
    /// The content is wrong. A part of a sentence that follows "the line at byte N".
    Content(String),
    /// The same, of a row that was read to its end, so that the next one can be read.
    Row(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl ReadError {
    fn content(sentence: impl Into<String>) -> Self {
        Self::Content(sentence.into())
    }
}

/// One line: its content and its end (`\n`, `\r\n`, or nothing at the end of the file).
#[derive(Debug)]
pub(super) struct Line {
    bytes: Vec<u8>,
    content: usize,
}

impl Line {
    /// The line without its end.
    pub(super) fn content(&self) -> &[u8] {
        &self.bytes[..self.content]
    }

    /// How many bytes of the file it takes, its end included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads a line; `None` at the end of the file.
///
/// # Errors
/// [`ReadError`]; a content error if the line is longer than [`MAX_RECORD_BYTES`].
pub(super) fn read_line(reader: &mut impl BufRead) -> Result<Option<Line>, ReadError> {
    // Two bytes more for the longest end.
    let bound = u64::try_from(MAX_RECORD_BYTES + 2).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    reader.by_ref().take(bound).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let content = match bytes.as_slice() {
        [content @ .., b'\r', b'\n'] | [content @ .., b'\n'] | content => content.len(),
    };
    if content > MAX_RECORD_BYTES {
        return Err(ReadError::content(format!(
            "is longer than {MAX_RECORD_BYTES} bytes"
        )));
    }
    Ok(Some(Line { bytes, content }))
}

/// How CSV is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// What stands between fields.
    pub delimiter: u8,
    /// Whether a quoted field may go on over line ends.
    pub quoted_newlines: bool,
}

/// One CSV record.
#[derive(Debug)]
pub(super) struct Record {
    /// Its fields; none for a blank line.
    pub fields: Vec<String>,
    /// How many bytes of the file it takes, its end included.
    pub len: usize,
}

/// Where a record is within a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: its end, or the first of two that stand for one.
    QuoteInQuoted,
}

/// Reads a record; `None` at the end of the file.
///
/// # Errors
/// [`ReadError`]; a content error if the record is too long, its quotes are wrong, or it is not
/// UTF-8.
pub(super) fn read_record(
    reader: &mut impl BufRead,
    dialect: Dialect,
) -> Result<Option<Record>, ReadError> {
    let mut fields = Fields {
        dialect,
        state: State::FieldStart,
        field: Vec::new(),
        done: Vec::new(),
    };
    let mut len = 0;
    loop {
        let Some(line) = read_line(reader)? else {
            return if len == 0 {
                Ok(None)
            } else {
                Err(ReadError::content("has a quoted field that does not end"))
            };
        };
        let blank = len == 0 && line.content().is_empty();
        len += line.len();
        if len > MAX_RECORD_BYTES + 2 {
            return Err(ReadError::content(format!(
                "is longer than {MAX_RECORD_BYTES} bytes, or a quote is missing"
            )));
        }
        if blank {
            return Ok(Some(Record {
                fields: Vec::new(),
                len,
            }));
        }
        // Where no quoted field goes on over a line end, the next row begins on the next line,
        // whatever is in this one.
        let fault = |error| match error {
            ReadError::Content(why) if !dialect.quoted_newlines => ReadError::Row(why),
            error => error,
        };
        line.content()
            .iter()
            .try_for_each(|byte| fields.feed(*byte))
            .map_err(fault)?;
        if fields.state != State::Quoted {
            fields.end_field().map_err(fault)?;
            return Ok(Some(Record {
                fields: fields.done,
                len,
            }));
        }
        if !dialect.quoted_newlines {
            return Err(fault(ReadError::content(
                "has a quoted field that goes on over the end of the line, although `quoted_newlines` is false",
            )));
        }
        fields.field.extend_from_slice(&line.bytes[line.content..]);
    }
}

struct Fields {
    dialect: Dialect,
    state: State,
    field: Vec<u8>,
    done: Vec<String>,
}

impl Fields {
    fn feed(&mut self, byte: u8) -> Result<(), ReadError> {
        let delimits = byte == self.dialect.delimiter;
        self.state = match self.state {
            State::FieldStart if byte == b'"' => State::Quoted,
            State::FieldStart | State::Plain | State::QuoteInQuoted if delimits => {
                self.end_field()?;
                State::FieldStart
            }
            State::FieldStart | State::Plain => self.keep(byte, State::Plain),
            State::Quoted if byte == b'"' => State::QuoteInQuoted,
            State::Quoted => self.keep(byte, State::Quoted),
            State::QuoteInQuoted if byte == b'"' => self.keep(byte, State::Quoted),
            State::QuoteInQuoted => {
                return Err(ReadError::content(
                    "has text after the end of a quoted field",
                ));
            }
        };
        Ok(())
    }

    fn keep(&mut self, byte: u8, next: State) -> State {
        self.field.push(byte);
        next
    }

    fn end_field(&mut self) -> Result<(), ReadError> {
        let field = String::from_utf8(std::mem::take(&mut self.field))
            .map_err(|_| ReadError::content("is not UTF-8"))?;
        self.done.push(field);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIALECT: Dialect = Dialect {
        delimiter: b',',
        quoted_newlines: true,
    };

    fn records(mut text: &[u8], dialect: Dialect) -> Result<Vec<Vec<String>>, String> {
        let mut found = Vec::new();
        loop {
            let before = text.len();
            match read_record(&mut text, dialect) {
                Ok(Some(record)) => {
                    assert_eq!(record.len, before - text.len());
                    found.push(record.fields);
                }
                Ok(None) => return Ok(found),
                Err(ReadError::Content(sentence) | ReadError::Row(sentence)) => {
                    return Err(sentence);
                }
                Err(ReadError::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn quotes_delimiters_and_line_ends() {
        for (text, expected) in [
            ("", &[][..]),
            ("a,b\n", &[&["a", "b"][..]]),
            ("a,b", &[&["a", "b"]]),
            (",\r\n", &[&["", ""]]),
            ("\n\r\nx\n", &[&[], &[], &["x"]]),
            ("\"a\"\"b\",\"\"\n", &[&["a\"b", ""]]),
            ("\"a\r\nb\n\",c\nd", &[&["a\r\nb\n", "c"], &["d"]]),
            ("a\"b,c\"\n", &[&["a\"b", "c\""]]),
            ("\"\"", &[&[""]]),
            ("\"\n\"", &[&["\n"]]),
            ("a\rb\r\n", &[&["a\rb"]]),
        ] {
            assert_eq!(
                records(text.as_bytes(), DIALECT).unwrap(),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(
            records(
                b"a,b\tc",
                Dialect {
                    delimiter: b'\t',
                    ..DIALECT
                }
            )
            .unwrap(),
            [["a,b", "c"]]
        );
    }

    #[test]
    fn what_is_not_csv_is_refused() {
        for (text, part) in [
            (&b"\"a\"b\n"[..], "text after"),
            (b"\"a", "does not end"),
            (b"\"a\n", "does not end"),
            (b"\xff\n", "not UTF-8"),
        ] {
            assert!(records(text, DIALECT).unwrap_err().contains(part));
        }
        let simple = Dialect {
            quoted_newlines: false,
            ..DIALECT
        };
        assert!(
            records(b"a,\"b\nc\"\n", simple)
                .unwrap_err()
                .contains("quoted_newlines")
        );
        assert_eq!(records(b"a,\"b\"\nc\n", simple).unwrap().len(), 2);
    }

    #[test]
    fn lines_and_records_are_bounded() {
        let longest = [vec![b'x'; MAX_RECORD_BYTES], b"\r\n".to_vec()].concat();
        assert_eq!(
            read_line(&mut longest.as_slice())
                .unwrap()
                .map(|line| line.len()),
            Some(MAX_RECORD_BYTES + 2)
        );
        for end in ["x", "x\n", "x\r\n", "xyz"] {
            let longer = [&vec![b'x'; MAX_RECORD_BYTES][..], end.as_bytes()].concat();
            assert!(
                matches!(
                    read_line(&mut longer.as_slice()),
                    Err(ReadError::Content(_))
                ),
                "{end:?}"
            );
        }
        let open = [b"\"".to_vec(), b"line\n".repeat(1 << 18)].concat();
        assert!(
            records(&open, DIALECT)
                .unwrap_err()
                .contains("a quote is missing")
        );
    }

    proptest! {
        #[test]
        fn written_records_are_read_back(
            rows in proptest::collection::vec(proptest::collection::vec("[a,\"\r\né]{0,5}", 1..5), 0..8),
            crlf: bool,
            last_end: bool,
        ) {
            let end = if crlf { "\r\n" } else { "\n" };
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let mut text =
                rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",")).collect::<Vec<_>>().join(end);
            if last_end && !rows.is_empty() {
                text.push_str(end);
            }
            prop_assert_eq!(records(text.as_bytes(), DIALECT).unwrap(), rows);
        }
    }
}
