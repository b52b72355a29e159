//! The definition of the `lines` splitter, read and checked.

use headway_files::FileRoots;
use serde::{Deserialize, Serialize};

use super::csv::Dialect;
use super::source_file::{SourceFile, Version};
use crate::definition::{bounded, integer};
use crate::paths::{Name, check_absolute};
use crate::{Child, Definition, SplitError};

/// How many lines an item has at most.
const MAX_GROUP: usize = 1000;

/// The definition: what a client writes, and in sub-batches also the range.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) path: Name,
    #[serde(default)]
    pub(super) format: Format,
    #[serde(default)]
    pub(super) header: bool,
    #[serde(default = "comma")]
    delimiter: char,
    #[serde(default = "yes")]
    quoted_newlines: bool,
    #[serde(default = "one", deserialize_with = "integer")]
    group: i64,
    #[serde(default, skip_serializing_if = "BadRows::is_fail")]
    pub(super) bad_rows: BadRows,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) range: Option<ByteRange>,
}

/// What becomes of a row that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BadRows {
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

/// How the file is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
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
pub(super) struct ByteRange {
    /// Lines that start at or after this byte are in the range.
    pub(super) start: u64,
    /// Lines that start at or after this byte are not.
    pub(super) end: u64,
    /// Where the first line of the file starts that is data.
    pub(super) first: u64,
    /// The file that was cut.
    pub(super) version: Version,
    /// The names of the columns of a CSV file that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) columns: Option<Vec<String>>,
}

/// A definition that was checked.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) written: Written,
    pub(super) group: usize,
    pub(super) dialect: Dialect,
}

impl Source {
    /// Reads and checks a definition.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] that says what is wrong.
    pub(super) fn read(definition: &Definition) -> Result<Self, SplitError> {
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

    /// Whether the file can be read only from its start.
    pub(super) fn is_sequential(&self) -> bool {
        self.written.format == Format::Csv && self.dialect.quoted_newlines
    }

    /// Opens the file.
    ///
    /// # Errors
    /// As [`SourceFile::open`].
    pub(super) fn open(&self, roots: &FileRoots) -> Result<SourceFile, SplitError> {
        SourceFile::open(&self.written.path.to_path(), roots)
    }

    /// The sub-batch that reads a range.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if its definition cannot be written.
    pub(super) fn sub_batch(&self, range: ByteRange) -> Result<Child, SplitError> {
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
}
