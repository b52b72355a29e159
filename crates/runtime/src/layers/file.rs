//! The layer that is a YAML file.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::UserMessageFormatter;

use super::{ConfigError, Mapping, Origin, nested};

/// Reads a file as settings of this type.
///
/// # Errors
/// [`ConfigError`] that names the file, and the key and line where there is one.
pub(super) fn read<T: DeserializeOwned>(path: &PathBuf) -> Result<Mapping, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.clone(),
        source,
    })?;
    let refuse = |reason: String| ConfigError::Value {
        origin: Origin::File(path.clone()),
        reason,
    };
    let mapping = match yaml(&text).map_err(|error| refuse(sentence(&error)))? {
        // An empty file, or one with comments only.
        Value::Null => return Ok(Mapping::new()),
        Value::Object(mapping) => mapping,
        Value::Array(_) => return Err(refuse(not_settings("sequence"))),
        Value::String(_) => return Err(refuse(not_settings("string"))),
        Value::Bool(_) | Value::Number(_) => return Err(refuse(not_settings("scalar"))),
    };
    // Only the text has lines, and only the values have keys.
    let wrong = yaml::<T>(&text).err();
    match (wrong_key::<T>(&mapping, &mut Vec::new()), wrong) {
        (Some(reason), Some(error)) => Err(refuse(match error.location() {
            Some(at) => format!("{reason} at line {} column {}", at.line(), at.column()),
            None => reason,
        })),
        (Some(reason), None) => Err(refuse(reason)),
        (None, Some(error)) => Err(refuse(sentence(&error))),
        (None, None) => Ok(mapping),
    }
}

/// Reads YAML 1.2, so that `no` and `007` are texts. Errors do not show the source, which may hold
/// secrets.
fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
}

fn sentence(error: &serde_saphyr::Error) -> String {
    error.render_with_formatter(&UserMessageFormatter)
}

fn not_settings(found: &str) -> String {
    format!("invalid type: {found}, expected settings by their names")
}

/// The first key below `path` whose value alone cannot be read, and why.
fn wrong_key<'a, T: DeserializeOwned>(
    mapping: &'a Mapping,
    path: &mut Vec<&'a str>,
) -> Option<String> {
    for (key, value) in mapping {
        path.push(key);
        let wrong = match value {
            Value::Object(section) if !section.is_empty() => wrong_key::<T>(section, path),
            _ => {
                let alone = Value::Object(nested(path, value.clone()));
                let error = serde_json::from_value::<T>(alone).err();
                error.map(|error| at_key(path, &error.to_string()))
            }
        };
        if wrong.is_some() {
            return wrong;
        }
        path.pop();
    }
    None
}

/// The error with the key before it; of a key that is not known, with the section in which it
/// stands.
fn at_key(path: &[&str], error: &str) -> String {
    let known = match error.starts_with("unknown field ") {
        true => &path[..path.len().saturating_sub(1)],
        false => path,
    };
    match known {
        [] => error.to_owned(),
        known => format!("{}: {error}", known.join(".")),
    }
}
