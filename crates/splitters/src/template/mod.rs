//! Item templates: how an item that a splitter found becomes the payload of a task.
//!
//! A template is compiled once per job into a flat list of parts, so that rendering an item only
//! copies bytes.

use std::fmt;

use serde_json::Value;

/// How large a rendered payload is at most: 1 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// Bytes of a placeholder that an error shows.
const MAX_NAME_BYTES: usize = 128;
/// Room for a payload that is a number: more than any 64-bit integer or double takes.
const NUMBER_BYTES: usize = 24;
/// Room that is planned for a value in a payload.
const VALUE_BYTES: usize = 32;

/// Why a template cannot be compiled or rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A placeholder that is neither of the item nor of the parameters.
    #[error(
        "the item template has the unknown placeholder {0:?}: it must be {{{{item}}}}, {{{{item.FIELD}}}}, \
         {{{{parameters}}}} or {{{{parameters.FIELD}}}}; two literal braces are written as four"
    )]
    Unknown(String),
    /// A placeholder without an end.
    #[error(
        "the item template has {{{{ without }}}}, {0} bytes into a string; two literal braces are written as four"
    )]
    Unclosed(usize),
    /// A field that is not there.
    #[error("the item template uses `{path}`, but `{missing}` is missing")]
    Missing {
        /// The placeholder's content.
        path: String,
        /// The first field on its way that is not there.
        missing: String,
    },
    /// The payload is too large.
    #[error("the payload of an item is larger than {MAX_PAYLOAD_BYTES} bytes")]
    TooLarge,
    /// A value that cannot be written as JSON.
    #[error("the payload of an item cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl TemplateError {
    fn unknown(placeholder: &str) -> Self {
        let mut name = format!("{{{{{placeholder}}}}}");
        name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
        Self::Unknown(name)
    }
}

/// A compiled item template.
#[derive(Debug, Clone)]
pub struct Template {
    /// `None` for the item as it was found.
    parts: Option<Vec<Part>>,
    /// What a payload is expected to take.
    capacity: usize,
}

/// A part of the payload's JSON text.
#[derive(Debug, Clone)]
enum Part {
    /// Bytes that are always the same.
    Literal(Vec<u8>),
    /// A value as JSON.
    Json(Path),
    /// A value as text inside a JSON string.
    Text(Path),
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Item,
    Parameters,
}

/// Where a value is found.
#[derive(Debug, Clone)]
struct Path {
    source: Source,
    fields: Vec<String>,
}

impl Template {
    /// Compiles a payload with placeholders; `None` gives the item itself.
    ///
    /// A string that is exactly one placeholder is replaced by the value with its JSON type.
    /// Placeholders inside a longer string are replaced by text: strings as they are, everything
    /// else as compact JSON. `{{{{` stands for two literal braces. Keys of objects are left as they
    /// are.
    ///
    /// # Errors
    /// [`TemplateError::Unknown`] and [`TemplateError::Unclosed`].
    pub fn parse(payload: Option<&Value>) -> Result<Self, TemplateError> {
        let Some(payload) = payload else {
            return Ok(Self {
                parts: None,
                capacity: 0,
            });
        };
        let mut compiler = Compiler::default();
        compiler.value(payload)?;
        compiler.flush();
        let capacity = compiler.parts.iter().map(Part::expected).sum();
        Ok(Self {
            parts: Some(compiler.parts),
            capacity,
        })
    }

    /// The payload of an item, as JSON text.
    ///
    /// # Errors
    /// [`TemplateError::Missing`] if a placeholder names a field that is not there (one that is
    /// null is there); [`TemplateError::TooLarge`] above [`MAX_PAYLOAD_BYTES`].
    pub fn render(&self, item: &Value, parameters: &Value) -> Result<Vec<u8>, TemplateError> {
        let Some(parts) = &self.parts else {
            let mut out = Vec::with_capacity(expected(item));
            serde_json::to_writer(&mut out, item)?;
            return checked(out);
        };
        let mut out = Vec::with_capacity(self.capacity);
        for part in parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Json(path) => serde_json::to_writer(&mut out, path.find(item, parameters)?)?,
                Part::Text(path) => match path.find(item, parameters)? {
                    Value::String(text) => escape(&mut out, text),
                    other => escape(&mut out, &serde_json::to_string(other)?),
                },
            }
            // Looked at after each part, so that many copies of a large value do not pile up first.
            if out.len() > MAX_PAYLOAD_BYTES {
                return Err(TemplateError::TooLarge);
            }
        }
        Ok(out)
    }
}

impl Part {
    fn expected(&self) -> usize {
        match self {
            Self::Literal(bytes) => bytes.len(),
            Self::Json(_) | Self::Text(_) => VALUE_BYTES,
        }
    }
}

/// Room for an item that is a payload by itself.
fn expected(item: &Value) -> usize {
    match item {
        Value::Null | Value::Bool(_) | Value::Number(_) => NUMBER_BYTES,
        Value::String(text) => text.len() + 2,
        Value::Array(_) | Value::Object(_) => 4 * VALUE_BYTES,
    }
}

fn checked(payload: Vec<u8>) -> Result<Vec<u8>, TemplateError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        Err(TemplateError::TooLarge)
    } else {
        Ok(payload)
    }
}

impl Path {
    fn read(placeholder: &str) -> Option<Self> {
        let mut names = placeholder.trim().split('.');
        let source = match names.next() {
            Some("item") => Source::Item,
            Some("parameters") => Source::Parameters,
            Some(_) | None => return None,
        };
        let fields: Vec<String> = names.map(str::to_owned).collect();
        fields
            .iter()
            .all(|field| !field.is_empty())
            .then_some(Self { source, fields })
    }

    fn find<'a>(&self, item: &'a Value, parameters: &'a Value) -> Result<&'a Value, TemplateError> {
        let mut value = match self.source {
            Source::Item => item,
            Source::Parameters => parameters,
        };
        for (depth, field) in self.fields.iter().enumerate() {
            let found = match value {
                Value::Object(object) => object.get(field),
                Value::Array(array) => field.parse().ok().and_then(|index: usize| array.get(index)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            value = found.ok_or_else(|| self.missing(depth))?;
        }
        Ok(value)
    }

    fn missing(&self, depth: usize) -> TemplateError {
        let missing = Self {
            source: self.source,
            fields: self.fields[..=depth].to_vec(),
        };
        TemplateError::Missing {
            path: self.to_string(),
            missing: missing.to_string(),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.source {
            Source::Item => "item",
            Source::Parameters => "parameters",
        })?;
        self.fields
            .iter()
            .try_for_each(|field| write!(formatter, ".{field}"))
    }
}

/// Turns a payload into parts; neighbouring literals become one.
#[derive(Default)]
struct Compiler {
    parts: Vec<Part>,
    literal: Vec<u8>,
}

impl Compiler {
    fn value(&mut self, value: &Value) -> Result<(), TemplateError> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                serde_json::to_writer(&mut self.literal, value)?
            }
            Value::String(text) => self.string(text)?,
            Value::Array(array) => {
                self.literal.push(b'[');
                for (index, element) in array.iter().enumerate() {
                    if index > 0 {
                        self.literal.push(b',');
                    }
                    self.value(element)?;
                }
                self.literal.push(b']');
            }
            Value::Object(object) => {
                self.literal.push(b'{');
                for (index, (key, field)) in object.iter().enumerate() {
                    if index > 0 {
                        self.literal.push(b',');
                    }
                    serde_json::to_writer(&mut self.literal, key)?;
                    self.literal.push(b':');
                    self.value(field)?;
                }
                self.literal.push(b'}');
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), TemplateError> {
        let segments = segments(text)?;
        if let [Segment::Value(path)] = segments.as_slice() {
            self.push(Part::Json(path.clone()));
            return Ok(());
        }
        self.literal.push(b'"');
        for segment in segments {
            match segment {
                Segment::Text(text) => escape(&mut self.literal, text),
                Segment::Value(path) => self.push(Part::Text(path)),
            }
        }
        self.literal.push(b'"');
        Ok(())
    }

    fn push(&mut self, part: Part) {
        self.flush();
        self.parts.push(part);
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.parts
                .push(Part::Literal(std::mem::take(&mut self.literal)));
        }
    }
}

/// A piece of a string of the template.
enum Segment<'a> {
    Text(&'a str),
    Value(Path),
}

fn segments(text: &str) -> Result<Vec<Segment<'_>>, TemplateError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        if !before.is_empty() {
            found.push(Segment::Text(before));
        }
        if let Some(after) = after.strip_prefix("{{") {
            found.push(Segment::Text("{{"));
            rest = after;
            continue;
        }
        let (placeholder, after) = after
            .split_once("}}")
            .ok_or(TemplateError::Unclosed(text.len() - after.len() - 2))?;
        let path = Path::read(placeholder).ok_or_else(|| TemplateError::unknown(placeholder))?;
        found.push(Segment::Value(path));
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Segment::Text(rest));
    }
    Ok(found)
}

/// Writes text as it stands inside a JSON string.
fn escape(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut clean = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[clean..index]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(&[
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
        clean = index + 1;
    }
    out.extend_from_slice(&bytes[clean..]);
}

#[cfg(test)]
mod tests;
