//! What the text of a JSON value takes in memory once it is parsed. A scan of the text finds it
//! without parsing.

use serde_json::Value;

/// Bytes of a value without what it points to.
const VALUE: usize = size_of::<Value>();
/// Bytes of a key without its text.
const KEY: usize = size_of::<String>();
/// Bytes that an allocation takes beyond its size.
const ALLOCATION: usize = 16;
/// The first allocation of a list has room for this many values, and a growing list may be twice
/// as large as its contents.
const FIRST: usize = 4;
const GROWTH: usize = 2;
/// A node of the standard library's `BTreeMap` has room for this many entries, however few it has.
/// A full one parts in two halves.
const NODE: usize = 11;

/// About the bytes of memory that the value of this text takes, not below what it really takes.
pub(super) fn parsed_bytes(text: &[u8]) -> usize {
    let list = FIRST * VALUE + ALLOCATION;
    let object = NODE * (KEY + VALUE) + 2 * ALLOCATION;
    // An entry of an object: its part of a node that is half full, and the allocation of its key.
    let entry = GROWTH * (KEY + VALUE) + ALLOCATION;
    let mut bytes = VALUE + text.len();
    let mut quoted = false;
    let mut escaped = false;
    for byte in text {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        bytes += match byte {
            b'"' => {
                quoted = true;
                ALLOCATION
            }
            b'[' => list,
            b'{' => object,
            b':' => entry,
            b',' => GROWTH * VALUE,
            _ => 0,
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The bytes that a value takes beyond itself.
    fn held(value: &Value) -> usize {
        match value {
            Value::String(text) => text.capacity(),
            Value::Array(values) => {
                values.capacity() * VALUE + values.iter().map(held).sum::<usize>()
            }
            Value::Object(fields) => {
                let nodes = fields.len().div_ceil(NODE / 2);
                let contents = fields
                    .iter()
                    .map(|(key, value)| key.capacity() + held(value));
                nodes * NODE * (KEY + VALUE) + contents.sum::<usize>()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| json!(number)),
            r#"[a-z\\"{},:\[\]]{0,9}"#.prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 200, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
                prop::collection::btree_map(r#"[a-z"\\:]{0,3}"#, inner, 0..20)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_takes_no_more_than_its_text_says(value in values()) {
            let text = value.to_string();
            let parsed: Value = serde_json::from_str(&text)?;
            prop_assert!(held(&parsed) <= parsed_bytes(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn marks_within_strings_cost_nothing() {
        let text = json!("[{,:\\\"".repeat(1_000)).to_string();
        assert!(parsed_bytes(text.as_bytes()) < text.len() + 100, "{text}");
    }

    #[test]
    fn small_objects_cost_many_times_their_text() {
        let text = format!("[{}]", vec![r#"{"a":1}"#; 1_000].join(","));
        assert!(parsed_bytes(text.as_bytes()) > 50 * text.len());
    }
}
