//! The `list` splitter: strings that stand in the definition itself.

use async_trait::async_trait;
use serde_json::Value;

use crate::page::slice_page;
use crate::{Child, Definition, Page, PageRequest, SplitError, Splitter};

/// Splits `{"items": ["a", ...]}` or a plain array of strings; an item is one string.
#[derive(Debug, Clone, Copy, Default)]
pub struct List;

#[async_trait]
impl Splitter for List {
    fn name(&self) -> &str {
        "list"
    }

    fn reproducible(&self) -> bool {
        true
    }

    fn total(&self, definition: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        let value = definition.json()?;
        let items = items(&value)?;
        for (index, item) in items.iter().enumerate() {
            if !item.is_string() {
                return Err(SplitError::invalid(format!(
                    "item {index} of the list is not a string"
                )));
            }
        }
        Ok(u64::try_from(items.len()).ok())
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let value = request.definition.json()?;
        slice_page(items(&value)?, request.cursor, request.limit, |item| {
            if !item.is_string() {
                return Err(SplitError::invalid(
                    "the list has an item that is not a string",
                ));
            }
            Ok(Child::Item(item.clone()))
        })
    }
}

fn items(value: &Value) -> Result<&[Value], SplitError> {
    let found = match value {
        Value::Array(items) => Some(items),
        Value::Object(object) if object.len() == 1 => object.get("items").and_then(Value::as_array),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            None
        }
    };
    found.map(Vec::as_slice).ok_or_else(|| {
        SplitError::invalid("the definition for `list` must be {\"items\": [...]} or an array")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::{Permutation, invalid, walk};

    proptest! {
        #[test]
        fn every_string_is_found_once(strings in proptest::collection::vec(".*", 0..50), seed: u64, plain: bool) {
            let expected: Vec<Value> = strings.into_iter().map(Value::from).collect();
            let definition = Definition::Json(if plain { json!(expected) } else { json!({"items": expected}) });
            prop_assert_eq!(List.total(&definition, &Value::Null).unwrap(), Some(expected.len() as u64));
            prop_assert!(walk(&List, definition, seed).is_permutation_of(&expected));
        }
    }

    #[test]
    fn anything_else_is_invalid() {
        for wrong in [
            json!(null),
            json!("a"),
            json!({}),
            json!({"items": "a"}),
            json!({"items": [], "more": 1}),
        ] {
            invalid(&List, &Definition::Json(wrong), "must be");
        }
        for wrong in [json!([1]), json!({"items": ["a", ["b"]]})] {
            invalid(&List, &Definition::Json(wrong), "not a string");
        }
    }
}
