//! The `json` splitter: a nested array, in which an inner array is a sub-batch and everything else
//! an item.

use async_trait::async_trait;
use serde_json::Value;

use crate::page::slice_page;
use crate::{Child, Definition, Page, PageRequest, SplitError, Splitter};

/// How deep a definition may be nested. A definition is read again from its text, where 128 is the
/// parser's limit.
const MAX_DEPTH: usize = 100;

/// Splits a nested array. See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

#[async_trait]
impl Splitter for Json {
    fn name(&self) -> &str {
        "json"
    }

    fn reproducible(&self) -> bool {
        true
    }

    fn total(&self, definition: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        let value = definition.json()?;
        check_depth(&value, MAX_DEPTH)?;
        Ok(Some(elements(&value)?.iter().map(count).sum()))
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let value = request.definition.json()?;
        slice_page(
            elements(&value)?,
            request.cursor,
            request.limit,
            |element| {
                if !element.is_array() {
                    return Ok(Child::Item(element.clone()));
                }
                Ok(Child::Batch {
                    definition: Definition::Json(element.clone()),
                    total: Some(count(element)),
                })
            },
        )
    }
}

fn elements(value: &Value) -> Result<&[Value], SplitError> {
    let array = value
        .as_array()
        .ok_or_else(|| SplitError::invalid("the definition for `json` must be an array"))?;
    Ok(array)
}

/// How many items there are in and below an element.
fn count(value: &Value) -> u64 {
    value
        .as_array()
        .map_or(1, |array| array.iter().map(count).sum())
}

fn check_depth(value: &Value, left: usize) -> Result<(), SplitError> {
    let Some(left) = left.checked_sub(1) else {
        return Err(SplitError::invalid(format!(
            "the definition is nested more than {MAX_DEPTH} deep"
        )));
    };
    match value {
        Value::Array(array) => array.iter().try_for_each(|inner| check_depth(inner, left)),
        Value::Object(object) => object
            .values()
            .try_for_each(|inner| check_depth(inner, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::{Permutation, any_json, invalid, walk};

    /// The leaves from left to right.
    fn leaves(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Array(array) => array.iter().for_each(|inner| leaves(inner, found)),
            other => found.push(other.clone()),
        }
    }

    proptest! {
        #[test]
        fn every_leaf_is_found_once(root in proptest::collection::vec(any_json(), 0..20), seed: u64, as_text: bool) {
            let root = Value::Array(root);
            let mut expected = Vec::new();
            leaves(&root, &mut expected);
            let definition = if as_text {
                Definition::Data(Bytes::from(root.to_string()))
            } else {
                Definition::Json(root)
            };
            prop_assert_eq!(Json.total(&definition, &Value::Null).unwrap(), Some(expected.len() as u64));
            let found = walk(&Json, definition, seed);
            prop_assert!(found.is_permutation_of(&expected));
        }
    }

    #[test]
    fn only_arrays_are_definitions() {
        for wrong in [json!(null), json!({"a": [1]}), json!("x")] {
            invalid(&Json, &Definition::Json(wrong), "must be an array");
        }
        invalid(
            &Json,
            &Definition::Data(Bytes::from_static(b"[1,")),
            "not JSON",
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(
            Json.total(&Definition::Json(nested(99)), &Value::Null),
            Ok(Some(1))
        );
        assert!(
            Json.total(&Definition::Json(nested(100)), &Value::Null)
                .is_err()
        );
        let stored = Definition::Json(nested(99)).encode();
        assert!(Definition::decode(&stored).is_ok());
    }

    #[test]
    fn large_children_make_short_pages() {
        let root = Value::Array(
            (0..9)
                .map(|index| json!(format!("{index}{}", "x".repeat(400_000))))
                .collect(),
        );
        let found = walk(&Json, Definition::Json(root.clone()), 1);
        assert!(found.is_permutation_of(root.as_array().unwrap()));
    }
}
