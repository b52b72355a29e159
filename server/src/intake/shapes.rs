//! What a message will cost in memory. A walk over its bytes along the descriptors finds it without
//! decoding.
//!
//! An empty entry of a repeated field is two bytes of a request and a thousand bytes of memory. So
//! the walk adds up what the entries will take, and stops when that is more than a request may
//! cost. So does the text of a JSON value whose parsed form is kept until the call is answered. A
//! definition counts as its bytes: it is parsed and dropped without an await, so at most one for
//! each thread of the runtime is in memory.

use std::collections::HashMap;

use headway_domain::limits::MAX_TEMPLATE_BYTES;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use super::json;

/// The most levels of nested messages that the decoder takes.
const MAX_DEPTH: u32 = 100;
/// Bytes of a text, a list or a map without its contents.
const HANDLE: usize = 24;
/// Bytes that an allocation takes beyond its size.
const ALLOCATION: usize = 16;
/// A growing list may be twice as large as its contents.
const GROWTH: usize = 2;

/// Why a message is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is not a message of its type.
    Malformed,
    /// It would cost too much.
    TooCostly,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A number, with the most bytes in memory for one byte on the wire.
    Number(usize),
    /// Text or bytes.
    Text,
    /// The text of a JSON value that is kept in its parsed form.
    Json,
    /// A message of this shape.
    Message(usize),
}

#[derive(Debug, Clone, Copy)]
struct Field {
    holds: Holds,
    /// Bytes of each entry beyond its contents. 0 for a field that is there once and part of its
    /// message.
    entry: usize,
}

#[derive(Debug, Default)]
struct Shape {
    fields: HashMap<u32, Field>,
}

/// The shapes of all requests.
#[derive(Debug)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    /// The shape of a method's request, by the method's path. Only methods that take one request.
    requests: HashMap<String, usize>,
}

impl Shapes {
    /// The shapes of the requests in the contract.
    ///
    /// # Errors
    /// If the descriptors in the program cannot be read.
    pub(super) fn of_contract() -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(headway::FILE_DESCRIPTOR_SET)?;
        let mut built = Builder::default();
        let mut requests = HashMap::new();
        for service in pool.services() {
            for method in service.methods().filter(|m| !m.is_client_streaming()) {
                let path = format!("/{}/{}", service.full_name(), method.name());
                requests.insert(path, built.shape(&method.input()));
            }
        }
        Ok(Self {
            shapes: built.shapes,
            requests,
        })
    }

    /// The shape of a method's request.
    pub(super) fn request(&self, path: &str) -> Option<usize> {
        self.requests.get(path).copied()
    }

    /// About how many bytes of memory a message takes, if that is not more than `most`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub(super) fn cost(&self, shape: usize, message: &[u8], most: usize) -> Result<usize, Unfit> {
        let mut walk = Walk {
            shapes: &self.shapes,
            cost: 0,
            most,
        };
        walk.add(message.len())?;
        walk.message(shape, message, 0)?;
        Ok(walk.cost)
    }
}

#[derive(Debug, Default)]
struct Builder {
    shapes: Vec<Shape>,
    known: HashMap<String, usize>,
}

impl Builder {
    fn shape(&mut self, message: &MessageDescriptor) -> usize {
        if let Some(known) = self.known.get(message.full_name()) {
            return *known;
        }
        let index = self.shapes.len();
        self.shapes.push(Shape::default());
        self.known.insert(message.full_name().to_owned(), index);
        let fields = message.fields().map(|field| {
            let holds = match field.kind() {
                Kind::Message(message) => Holds::Message(self.shape(&message)),
                Kind::String if field.name().ends_with("_json_text") => Holds::Json,
                Kind::String | Kind::Bytes => Holds::Text,
                Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => Holds::Number(1),
                Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => Holds::Number(1),
                _ => Holds::Number(8),
            };
            let entry = match (field.is_map(), field.is_list()) {
                (true, _) => entry_bytes(&field) * GROWTH + ALLOCATION,
                (_, true) => entry_bytes(&field) * GROWTH,
                (false, false) => 0,
            };
            (field.number(), Field { holds, entry })
        });
        let fields = fields.collect();
        if let Some(shape) = self.shapes.get_mut(index) {
            shape.fields = fields;
        }
        index
    }
}

/// Bytes of one entry of a list or map.
fn entry_bytes(field: &FieldDescriptor) -> usize {
    match field.kind() {
        Kind::Message(message) => inline(&message, &mut Vec::new()),
        Kind::String | Kind::Bytes => HANDLE,
        _ => 8,
    }
}

/// Bytes of a message without what it points to.
fn inline(message: &MessageDescriptor, within: &mut Vec<String>) -> usize {
    if within.iter().any(|name| name == message.full_name()) {
        // A message that contains itself is in an allocation of its own.
        return 8;
    }
    within.push(message.full_name().to_owned());
    let mut alone = 0;
    let mut choices: HashMap<String, usize> = HashMap::new();
    for field in message.fields() {
        let bytes = match field.kind() {
            _ if field.is_map() => 2 * HANDLE,
            _ if field.is_list() => HANDLE,
            Kind::Message(message) => inline(&message, within) + 8,
            Kind::String | Kind::Bytes => HANDLE,
            _ => 8,
        };
        match field.containing_oneof() {
            Some(choice) => {
                let largest = choices.entry(choice.name().to_owned()).or_default();
                *largest = bytes.max(*largest);
            }
            None => alone += bytes,
        }
    }
    within.pop();
    alone + choices.values().map(|bytes| bytes + 8).sum::<usize>()
}

struct Walk<'a> {
    shapes: &'a [Shape],
    cost: usize,
    most: usize,
}

impl Walk<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), Unfit> {
        self.cost = self.cost.saturating_add(bytes);
        match self.cost <= self.most {
            true => Ok(()),
            false => Err(Unfit::TooCostly),
        }
    }

    fn message(&mut self, shape: usize, mut bytes: &[u8], depth: u32) -> Result<(), Unfit> {
        if depth > MAX_DEPTH {
            return Err(Unfit::Malformed);
        }
        let shapes = self.shapes;
        let fields = shapes.get(shape).map(|shape| &shape.fields);
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let number = u32::try_from(key >> 3).map_err(|_| Unfit::Malformed)?;
            let field = fields.and_then(|fields| fields.get(&number));
            let content = match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                    None
                }
                1 => take(&mut bytes, 8).map(|_| None)?,
                2 => {
                    let length = varint(&mut bytes)?;
                    let length = usize::try_from(length).map_err(|_| Unfit::Malformed)?;
                    Some(take(&mut bytes, length)?)
                }
                5 => take(&mut bytes, 4).map(|_| None)?,
                // Groups: none of our messages has one.
                _ => return Err(Unfit::Malformed),
            };
            // The decoder skips unknown fields.
            let Some(field) = field else { continue };
            self.add(field.entry)?;
            match (field.holds, content) {
                (Holds::Message(inner), Some(content)) => {
                    self.message(inner, content, depth + 1)?;
                }
                (Holds::Text, Some(content)) if !content.is_empty() => {
                    self.add(content.len() + ALLOCATION)?;
                }
                (Holds::Json, Some(text)) if !text.is_empty() => {
                    self.add(text.len() + ALLOCATION)?;
                    // A longer text is refused and not parsed.
                    if text.len() <= MAX_TEMPLATE_BYTES {
                        self.add(json::parsed_bytes(text))?;
                    }
                }
                // Packed numbers.
                (Holds::Number(each), Some(content)) => {
                    self.add(content.len().saturating_mul(each * GROWTH))?;
                }
                (Holds::Text | Holds::Json | Holds::Number(_) | Holds::Message(_), _) => {}
            }
        }
        Ok(())
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Unfit> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = *take(bytes, 1)? else {
            return Err(Unfit::Malformed);
        };
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Unfit::Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Unfit> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(Unfit::Malformed)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
#[path = "shapes_tests.rs"]
mod tests;
