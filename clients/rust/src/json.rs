//! JSON values in the wire's form, `google.protobuf.Value`, and back. Responses have JSON as text.

use headway::v1::{
    BatchSpec, ItemTemplate, JobTypeUse,
    batch_spec::{self, Definition},
    item_template::PayloadForm,
    job_type_use,
};
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number, Value as Json};

/// The largest integer up to which every one is a double too: 2^53.
const MAX_EXACT: u64 = 1 << 53;

/// A JSON value in a form of the wire: a value, or the text of one that a value cannot carry.
pub(crate) enum JsonForm<T> {
    Value(T),
    Text(String),
}

impl<T> JsonForm<T> {
    pub(crate) fn of(json: &Json, exact: Result<T, JsonError>) -> Self {
        exact.map_or_else(|_| Self::Text(json.to_string()), Self::Value)
    }
}

/// Why a JSON value cannot travel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The wire's numbers are doubles; this one would become another number.
    #[error("number {0} cannot be carried exactly (above 2^53); write it as a string")]
    Inexact(String),
    /// Not an object.
    #[error("a JSON object is needed, not {0}")]
    NotAnObject(&'static str),
}

/// The wire's form of a JSON value.
///
/// # Errors
/// [`JsonError::Inexact`] for an integer beyond 2^53.
pub fn json_to_value(json: &Json) -> Result<Value, JsonError> {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(exact(number)?),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(values) => {
            let values = values.iter().map(json_to_value).collect::<Result<_, _>>()?;
            Kind::ListValue(ListValue { values })
        }
        Json::Object(fields) => Kind::StructValue(object_to_struct(fields)?),
    };
    Ok(Value { kind: Some(kind) })
}

/// The wire's form of a JSON object.
///
/// # Errors
/// [`JsonError::NotAnObject`], and [`JsonError::Inexact`] for an integer beyond 2^53.
pub fn json_to_struct(json: &Json) -> Result<Struct, JsonError> {
    let other = match json {
        Json::Object(fields) => return object_to_struct(fields),
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
    };
    Err(JsonError::NotAnObject(other))
}

/// A value of the wire as JSON. Numbers without a fraction become integers; what JSON cannot
/// say (infinity, no kind at all) becomes null.
pub fn value_to_json(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(*value),
        Some(Kind::NumberValue(number)) => number_to_json(*number),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(value_to_json).collect()),
        Some(Kind::StructValue(object)) => struct_to_json(object),
    }
}

/// The definition of a batch, in whichever form the message has it; `None` for bytes, for none, and
/// for a text that is no JSON.
pub fn batch_definition(batch: &BatchSpec) -> Option<Json> {
    match batch.definition.as_ref()? {
        Definition::Json(value) => Some(value_to_json(value)),
        Definition::JsonText(text) => serde_json::from_str(text).ok(),
        Definition::Data(_) => None,
    }
}

/// The parameters of a batch, as [`batch_definition`].
pub fn batch_parameters(batch: &BatchSpec) -> Option<Json> {
    match batch.parameters_form.as_ref()? {
        batch_spec::ParametersForm::Parameters(object) => Some(struct_to_json(object)),
        batch_spec::ParametersForm::ParametersJsonText(text) => serde_json::from_str(text).ok(),
    }
}

/// The payload of the items of a batch, as [`batch_definition`].
pub fn item_payload(item: &ItemTemplate) -> Option<Json> {
    match item.payload_form.as_ref()? {
        PayloadForm::Payload(value) => Some(value_to_json(value)),
        PayloadForm::PayloadJsonText(text) => serde_json::from_str(text).ok(),
    }
}

/// The parameters of a job's type, as [`batch_definition`].
pub fn type_parameters(used: &JobTypeUse) -> Option<Json> {
    match used.parameters_form.as_ref()? {
        job_type_use::ParametersForm::Parameters(object) => Some(struct_to_json(object)),
        job_type_use::ParametersForm::ParametersJsonText(text) => serde_json::from_str(text).ok(),
    }
}

fn struct_to_json(object: &Struct) -> Json {
    let fields = object.fields.iter();
    Json::Object(
        fields
            .map(|(key, value)| (key.clone(), value_to_json(value)))
            .collect(),
    )
}

fn object_to_struct(fields: &Map<String, Json>) -> Result<Struct, JsonError> {
    let fields = fields.iter();
    let fields = fields.map(|(key, value)| Ok((key.clone(), json_to_value(value)?)));
    Ok(Struct {
        fields: fields.collect::<Result<_, _>>()?,
    })
}

fn exact(number: &Number) -> Result<f64, JsonError> {
    let magnitude = number
        .as_u64()
        .or_else(|| number.as_i64().map(i64::unsigned_abs));
    let inexact = || JsonError::Inexact(number.to_string());
    if magnitude.is_some_and(|magnitude| magnitude > MAX_EXACT) {
        return Err(inexact());
    }
    number.as_f64().ok_or_else(inexact)
}

fn number_to_json(number: f64) -> Json {
    // Through text, since the standard library has no checked conversion of a float.
    let integer = match number.fract() == 0.0 {
        true => format!("{number:.0}").parse::<i64>().ok(),
        false => None,
    };
    match integer {
        Some(integer) if integer.unsigned_abs() <= MAX_EXACT => Json::from(integer),
        _ => Json::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_number_is_printed_as_it_was_read() -> Result<(), serde_json::Error> {
        let text = "31.245270191439438";
        assert_eq!(serde_json::from_str::<Json>(text)?.to_string(), text);
        Ok(())
    }

    #[test]
    fn large_integers_are_refused() {
        assert!(json_to_value(&json!(9_007_199_254_740_992_i64)).is_ok());
        assert!(json_to_value(&json!(-9_007_199_254_740_992_i64)).is_ok());
        for large in [
            json!(9_007_199_254_740_993_i64),
            json!(u64::MAX),
            json!(i64::MIN),
        ] {
            let nested = json!({"a": [large]});
            assert!(
                matches!(json_to_value(&nested), Err(JsonError::Inexact(_))),
                "{nested}"
            );
        }
        assert_eq!(
            json_to_struct(&json!([1])),
            Err(JsonError::NotAnObject("an array"))
        );
    }

    #[test]
    fn values_and_texts_are_read_alike() -> Result<(), JsonError> {
        let json = json!({"a": [1, "x"]});
        let (object, text) = (json_to_struct(&json)?, json.to_string());
        let item = |form| ItemTemplate {
            payload_form: Some(form),
            ..ItemTemplate::default()
        };
        let batch = |definition, parameters| BatchSpec {
            definition: Some(definition),
            parameters_form: Some(parameters),
            ..BatchSpec::default()
        };
        let of_type = |form| JobTypeUse {
            parameters_form: Some(form),
            ..JobTypeUse::default()
        };
        let value = json_to_value(&json)?;
        for item in [
            item(PayloadForm::Payload(value.clone())),
            item(PayloadForm::PayloadJsonText(text.clone())),
        ] {
            assert_eq!(item_payload(&item), Some(json.clone()));
        }
        for batch in [
            batch(
                Definition::Json(value),
                batch_spec::ParametersForm::Parameters(object.clone()),
            ),
            batch(
                Definition::JsonText(text.clone()),
                batch_spec::ParametersForm::ParametersJsonText(text.clone()),
            ),
        ] {
            assert_eq!(batch_definition(&batch), Some(json.clone()));
            assert_eq!(batch_parameters(&batch), Some(json.clone()));
        }
        for used in [
            of_type(job_type_use::ParametersForm::Parameters(object)),
            of_type(job_type_use::ParametersForm::ParametersJsonText(text)),
        ] {
            assert_eq!(type_parameters(&used), Some(json.clone()));
        }
        assert_eq!(batch_definition(&BatchSpec::default()), None);
        Ok(())
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-(1_i64 << 53)..=1 << 53).prop_map(Json::from),
            (-1e3..1e3_f64).prop_map(|number| Json::from(number.trunc() + 0.5)),
            ".*".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_wire(json in any_json()) {
            prop_assert_eq!(value_to_json(&json_to_value(&json)?), json);
        }
    }
}
