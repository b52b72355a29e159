//! Messages of the contract from JSON with its field names in snake_case or camelCase. Errors name
//! the field by its path.

use std::{io, sync::LazyLock};

use headway::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};
use serde::de::DeserializeSeed;
use serde_json::{Map, Value as Json};

/// The longest value that an error quotes, in bytes.
const SHORT: usize = 40;

// The descriptors are part of the program. A test checks that they decode and have the messages.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default());

/// The descriptor of a message, by its full name.
///
/// # Errors
/// If the contract has no such message.
pub fn descriptor(name: &str) -> io::Result<MessageDescriptor> {
    POOL.get_message_by_name(name)
        .ok_or_else(|| io::Error::other(format!("the contract has no message {name}")))
}

/// Reads a message, by its full name.
///
/// # Errors
/// Says which field is wrong, by its path, and why.
pub fn message<M: prost::Message + Default>(
    name: &str,
    fields: &Map<String, Json>,
) -> Result<M, String> {
    let descriptor = descriptor(name).map_err(|error| error.to_string())?;
    check(&descriptor, fields, "")?;
    read(&descriptor, fields)?
        .transcode_to()
        .map_err(|error| error.to_string())
}

fn read(
    descriptor: &MessageDescriptor,
    fields: &Map<String, Json>,
) -> Result<DynamicMessage, String> {
    let seed = descriptor.clone();
    seed.deserialize(Json::Object(fields.clone()))
        .map_err(|error| error.to_string())
}

/// JSON values of the contract hold 64-bit floating-point numbers, which change whole numbers
/// beyond 2^53.
fn exact(value: &Json) -> Result<(), String> {
    match value {
        Json::Number(number) => {
            let whole = number
                .as_i64()
                .map(i128::from)
                .or(number.as_u64().map(i128::from));
            match whole {
                Some(whole) if (whole as f64) as i128 != whole => {
                    Err(format!("the number {number} cannot be carried exactly"))
                }
                Some(_) | None => Ok(()),
            }
        }
        Json::Array(values) => values.iter().try_for_each(exact),
        Json::Object(fields) => fields.values().try_for_each(exact),
        Json::Null | Json::Bool(_) | Json::String(_) => Ok(()),
    }
}

/// Checks each field alone, so that an error can name it.
fn check(
    descriptor: &MessageDescriptor,
    fields: &Map<String, Json>,
    path: &str,
) -> Result<(), String> {
    for (key, value) in fields {
        let field = descriptor
            .get_field_by_json_name(key)
            .or_else(|| descriptor.get_field_by_name(key));
        let path = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        let Some(field) = field else {
            let names: Vec<_> = descriptor
                .fields()
                .map(|field| field.name().to_owned())
                .collect();
            return Err(format!(
                "{path}: unknown field; known here: {}",
                names.join(", ")
            ));
        };
        let nested = match field.kind() {
            Kind::Message(nested) if !field.is_list() && !field.is_map() => Some(nested),
            _ => None,
        };
        match (nested, value) {
            (_, Json::Null) => {}
            (Some(nested), value)
                if nested.full_name() == "google.protobuf.Value"
                    || nested.full_name() == "google.protobuf.Struct" =>
            {
                exact(value).map_err(|error| format!("{path}: {error}"))?;
            }
            (Some(nested), Json::Object(fields)) => {
                check(&nested, fields, &path)?;
                continue;
            }
            (_, _) => {}
        }
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        read(descriptor, &alone).map_err(|error| match value.to_string() {
            short if short.len() <= SHORT => format!("{path}: {short}: {error}"),
            _ => format!("{path}: {error}"),
        })?;
    }
    // What is left are rules between fields, such as two members of one oneof.
    match read(descriptor, fields) {
        Ok(_) => Ok(()),
        Err(error) if path.is_empty() => Err(error),
        Err(error) => Err(format!("{path}: {error}")),
    }
}
