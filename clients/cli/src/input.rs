//! Files, the standard input and JSON that the arguments name.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde_json::Value as Json;

use crate::failure::Failure;

/// What some editors put before a text in UTF-8.
const MARK: char = '\u{feff}';

/// The text of a job file, without the mark that some editors put before it.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| Failure::usage(format!("job file {} is not UTF-8", path.display())))?;
    Ok(text.trim_start_matches(MARK).to_owned())
}

/// JSON from a flag: the text itself, or `@FILE`.
pub(crate) fn json(flag: &str, text: &str) -> Result<Json, Failure> {
    let (source, bytes) = match text.strip_prefix('@') {
        Some(path) => (format!("{flag} {path}"), read(Path::new(path))?),
        None => (flag.to_owned(), text.as_bytes().to_vec()),
    };
    let mark = MARK.to_string();
    let bytes = bytes.strip_prefix(mark.as_bytes()).unwrap_or(&bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::usage(format!("{source} is not JSON: {error}")).hint(
            "quote it for the shell, such as --definition '{\"root\": \"/srv\"}', or use @FILE",
        )
    })
}

/// A file's bytes; those of the standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let refuse = |error: io::Error| Failure::usage(format!("file {}: {error}", path.display()));
    if path != Path::new("-") {
        return fs::read(path).map_err(refuse);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(refuse)?;
    Ok(bytes)
}
