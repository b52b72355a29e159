//! Batch definitions: their stored form, and help for reading JSON ones.

use std::borrow::Cow;
use std::io;

use bytes::Bytes;
use headway_json_fault::json_fault;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value;

use crate::SplitError;

/// First byte of a stored JSON definition.
const JSON_TAG: u8 = 0;
/// First byte of a stored binary definition.
const DATA_TAG: u8 = 1;

/// What a batch is to be split from: JSON, or bytes that the splitter understands.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// A JSON value.
    Json(Value),
    /// Anything else.
    Data(Bytes),
}

impl Definition {
    /// The stored form: one byte for the kind, then the content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            // `Display` of a JSON value is its compact text and cannot fail.
            Self::Json(value) => tagged(JSON_TAG, value.to_string().as_bytes()),
            Self::Data(data) => tagged(DATA_TAG, data),
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if the bytes do not come from [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SplitError> {
        match bytes.split_first() {
            Some((&JSON_TAG, text)) => {
                serde_json::from_slice(text)
                    .map(Self::Json)
                    .map_err(|error| {
                        SplitError::invalid(format!(
                            "the stored definition cannot be read: {}",
                            json_fault(&error)
                        ))
                    })
            }
            Some((&DATA_TAG, data)) => Ok(Self::Data(Bytes::copy_from_slice(data))),
            Some((tag, _)) => Err(SplitError::invalid(format!(
                "the stored definition has the unknown kind {tag}"
            ))),
            None => Err(SplitError::invalid("the stored definition is empty")),
        }
    }

    /// The definition as JSON; bytes are read as JSON text.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if the bytes are not JSON.
    pub fn json(&self) -> Result<Cow<'_, Value>, SplitError> {
        match self {
            Self::Json(value) => Ok(Cow::Borrowed(value)),
            Self::Data(data) => serde_json::from_slice(without_mark(data))
                .map(Cow::Owned)
                .map_err(|error| {
                    SplitError::invalid(format!(
                        "the definition is not JSON: {}",
                        json_fault(&error)
                    ))
                }),
        }
    }

    /// The definition as `T`, for the splitter of that name.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if the definition is not JSON, or not a `T`.
    pub(crate) fn read<T: de::DeserializeOwned>(&self, splitter: &str) -> Result<T, SplitError> {
        let value = self.json()?;
        // Serde would also take an array for a struct.
        if !value.is_object() {
            return Err(SplitError::invalid(format!(
                "the definition for `{splitter}` must be an object"
            )));
        }
        T::deserialize(value.as_ref()).map_err(|error| {
            SplitError::invalid(format!(
                "the definition for `{splitter}` cannot be read: {}",
                json_fault(&error)
            ))
        })
    }

    /// How many bytes [`Self::encode`] gives.
    pub(crate) fn encoded_len(&self) -> usize {
        1 + match self {
            Self::Json(value) => json_len(value),
            Self::Data(data) => data.len(),
        }
    }
}

/// Text without the byte order mark that some editors put before it.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// What follows the kind in a stored definition.
pub(crate) fn stored_content(stored: &[u8]) -> &[u8] {
    stored.get(1..).unwrap_or_default()
}

/// The length of the compact JSON text of a value.
pub(crate) fn json_len(value: &Value) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Neither a JSON value nor counting can fail; if they did, the child would count as too large.
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX / 2,
    }
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 1);
    bytes.push(tag);
    bytes.extend_from_slice(content);
    bytes
}

/// Largest whole number up to which a JSON number that went through a double is exact.
const EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;

/// Reads a 64-bit integer from a JSON number or from a string of digits.
///
/// Definitions that were sent as protobuf values carry every number as a double, so whole doubles
/// are taken up to 2^53, and larger integers as strings.
///
/// # Errors
/// If it is neither.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Integer;

    impl Visitor<'_> for Integer {
        type Value = i64;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an integer, or a string of digits where it is above 2^53")
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<i64, E> {
            Ok(value)
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<i64, E> {
            i64::try_from(value)
                .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
        }

        // There is no checked conversion from a double; the guard makes this one exact.
        #[allow(clippy::cast_possible_truncation)]
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<i64, E> {
            if value.fract() != 0.0 || value.abs() > EXACT_DOUBLE {
                return Err(E::invalid_value(de::Unexpected::Float(value), &self));
            }
            Ok(value as i64)
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<i64, E> {
            value
                .parse()
                .map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
        }
    }

    deserializer.deserialize_any(Integer)
}

/// A field's value if it lies within the bounds, both included.
///
/// # Errors
/// [`SplitError::Invalid`] that names field and bounds.
pub(crate) fn bounded(
    field: &str,
    value: i64,
    least: usize,
    most: usize,
) -> Result<usize, SplitError> {
    usize::try_from(value)
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            SplitError::invalid(format!("`{field}` must be {least} to {most}, not {value}"))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::any_json;

    fn parse(value: Value) -> Option<i64> {
        integer(&value).ok()
    }

    #[test]
    fn integers_come_in_three_forms() {
        assert_eq!(parse(json!(-5)), Some(-5));
        assert_eq!(parse(json!(5.0)), Some(5));
        assert_eq!(
            parse(json!(-9_007_199_254_740_992.0)),
            Some(-9_007_199_254_740_992)
        );
        assert_eq!(parse(json!("9223372036854775807")), Some(i64::MAX));
        assert_eq!(parse(json!("-9223372036854775808")), Some(i64::MIN));
        for wrong in [
            json!(1.5),
            json!(1e300),
            json!(u64::MAX),
            json!("x"),
            json!("9223372036854775808"),
            json!(null),
        ] {
            assert_eq!(parse(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn damaged_stored_definitions_are_errors() {
        for bytes in [&b""[..], b"\x00", b"\x00{", b"\x07{}", b"\x00{}x"] {
            assert!(Definition::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn data_is_read_as_json_text() {
        assert_eq!(
            *Definition::Data(Bytes::from_static(b"[1]")).json().unwrap(),
            json!([1])
        );
        assert!(Definition::Data(Bytes::from_static(b"[1")).json().is_err());
        let marked = Definition::Data(Bytes::from_static(b"\xef\xbb\xbf[1]"));
        assert_eq!(*marked.json().unwrap(), json!([1]));
    }

    proptest! {
        #[test]
        fn stored_form_round_trips(value in any_json(), data in proptest::collection::vec(any::<u8>(), 0..64)) {
            for definition in [Definition::Json(value), Definition::Data(Bytes::from(data))] {
                let bytes = definition.encode();
                prop_assert_eq!(bytes.len(), definition.encoded_len());
                prop_assert_eq!(Definition::decode(&bytes).unwrap(), definition);
            }
        }
    }
}
