//! JSON on the wire: `google.protobuf.Value`, or the text of a JSON value.

#[cfg(test)]
use prost_types::ListValue;
use prost_types::{Struct, Value, value::Kind};
use serde_json::{Map, Number, Value as Json};

/// How deep a value may be nested: within what every protobuf implementation decodes.
pub(crate) const MAX_DEPTH: usize = 30;

/// The largest integer up to which every one is a double too: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A value as JSON, or a clause that says what it must be. Whole numbers become integers, so that
/// the same definition has one stored form.
pub(crate) fn from_value(value: Value) -> Result<Json, String> {
    read(value, MAX_DEPTH)
}

/// A value from its text, of at most this many bytes. Equal values have one stored form, whether
/// they come as text or not.
pub(crate) fn from_text(text: &str, most: usize) -> Result<Json, String> {
    // Before parsing: a value in memory takes many times its text.
    if text.len() > most {
        return Err(format!(
            "must be at most {most} bytes, and has {}",
            text.len()
        ));
    }
    let json = serde_json::from_str(text)
        .map_err(|error| format!("must be the text of a JSON value: {error}"))?;
    normal(json, MAX_DEPTH)
}

/// An object from its text.
pub(crate) fn object_from_text(text: &str, most: usize) -> Result<Json, String> {
    match from_text(text, most)? {
        object @ Json::Object(_) => Ok(object),
        _ => Err("must be the text of a JSON object".to_owned()),
    }
}

fn normal(json: Json, depth: usize) -> Result<Json, String> {
    match json {
        Json::Number(number) if !number.is_i64() && !number.is_u64() => {
            read_number(number.as_f64().unwrap_or(f64::NAN))
        }
        Json::Array(values) => {
            let below = deeper(depth)?;
            let values = values.into_iter().map(|value| normal(value, below));
            Ok(Json::Array(values.collect::<Result<_, _>>()?))
        }
        Json::Object(fields) => {
            let below = deeper(depth)?;
            let fields = fields
                .into_iter()
                .map(|(key, value)| Ok((key, normal(value, below)?)));
            Ok(Json::Object(fields.collect::<Result<Map<_, _>, String>>()?))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(json),
    }
}

/// An object as JSON.
pub(crate) fn from_struct(object: Struct) -> Result<Json, String> {
    read_object(object.fields, MAX_DEPTH)
}

fn read(value: Value, depth: usize) -> Result<Json, String> {
    match value.kind {
        None => Err("must not contain a google.protobuf.Value without a kind".to_owned()),
        Some(Kind::NullValue(_)) => Ok(Json::Null),
        Some(Kind::BoolValue(value)) => Ok(Json::Bool(value)),
        Some(Kind::StringValue(text)) => Ok(Json::String(text)),
        Some(Kind::NumberValue(number)) => read_number(number),
        Some(Kind::ListValue(list)) => {
            let below = deeper(depth)?;
            let values = list.values.into_iter().map(|value| read(value, below));
            Ok(Json::Array(values.collect::<Result<_, _>>()?))
        }
        Some(Kind::StructValue(object)) => read_object(object.fields, depth),
    }
}

fn read_object<M>(fields: M, depth: usize) -> Result<Json, String>
where
    M: IntoIterator<Item = (String, Value)>,
{
    let below = deeper(depth)?;
    let fields = fields
        .into_iter()
        .map(|(key, value)| Ok((key, read(value, below)?)));
    Ok(Json::Object(fields.collect::<Result<Map<_, _>, String>>()?))
}

fn deeper(depth: usize) -> Result<usize, String> {
    depth
        .checked_sub(1)
        .ok_or_else(|| format!("must be nested at most {MAX_DEPTH} deep"))
}

fn read_number(number: f64) -> Result<Json, String> {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        // There is no checked conversion from a double; the guard makes this one exact.
        return Ok(Json::from(number as i64));
    }
    Number::from_f64(number)
        .map(Json::Number)
        .ok_or_else(|| "must not contain NaN or an infinite number".to_owned())
}

/// The wire's form of a JSON value, as clients may send it.
#[cfg(test)]
pub(crate) fn to_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(to_value).collect(),
        }),
        Json::Object(fields) => Kind::StructValue(to_struct(fields)),
    };
    Value { kind: Some(kind) }
}

/// The wire's form of a JSON object, as clients may send it.
#[cfg(test)]
pub(crate) fn to_struct(fields: Map<String, Json>) -> Struct {
    let fields: std::collections::BTreeMap<_, _> = fields
        .into_iter()
        .map(|(key, value)| (key, to_value(value)))
        .collect();
    Struct { fields }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_round_trip_and_whole_numbers_are_integers() {
        let json = json!({"a": [1, -2.5, true, null, "x", {}], "b": 9_007_199_254_740_992_i64});
        assert_eq!(from_value(to_value(json.clone())), Ok(json));
        let number = |number| Value {
            kind: Some(Kind::NumberValue(number)),
        };
        assert_eq!(from_value(number(3.0)), Ok(json!(3)));
        assert_eq!(from_value(number(-0.0)), Ok(json!(0)));
        assert_eq!(from_value(number(1e300)), Ok(json!(1e300)));
    }

    #[test]
    fn texts_keep_large_integers_and_equal_values_have_one_form() {
        let json = from_text("[18446744073709551615, -9007199254740993]", 64).unwrap();
        assert_eq!(json, json!([u64::MAX, -9_007_199_254_740_993_i64]));
        assert_eq!(from_text("[3.0, 1e3, -0.0]", 64), Ok(json!([3, 1000, 0])));
    }

    #[test]
    fn texts_that_are_no_json_or_too_much_are_refused() {
        for bad in ["", "{", "1 2", "NaN", "1e999", "\u{feff}1"] {
            assert!(from_text(bad, 64).is_err(), "{bad}");
        }
        assert!(from_text("[1, 2]", 5).unwrap_err().contains("at most 5"));
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(from_text(&deep(MAX_DEPTH), 1000).is_ok());
        for depth in [MAX_DEPTH + 1, 400] {
            assert!(from_text(&deep(depth), 1000).is_err(), "{depth}");
        }
        assert!(object_from_text("[]", 64).unwrap_err().contains("object"));
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Value {
                kind: Some(Kind::NumberValue(number)),
            };
            let list = Value {
                kind: Some(Kind::ListValue(ListValue {
                    values: vec![value],
                })),
            };
            assert!(from_value(list).unwrap_err().contains("NaN"));
        }
        assert!(from_value(Value { kind: None }).is_err());
    }

    #[test]
    fn nesting_is_bounded_below_what_decoding_allows() {
        let nested = |depth: usize, object: bool| {
            (0..depth).fold(json!(1), |inner, _| {
                if object {
                    json!({ "a": inner })
                } else {
                    json!([inner])
                }
            })
        };
        for object in [false, true] {
            let deepest = nested(MAX_DEPTH, object);
            assert_eq!(from_value(to_value(deepest.clone())), Ok(deepest.clone()));
            let over = from_value(to_value(nested(MAX_DEPTH + 1, object))).unwrap_err();
            assert!(over.contains("30"), "{over}");

            // As deep as a request puts it: request, spec, batch, item template, payload.
            let request = headway::v1::CreateJobRequest {
                spec: Some(headway::v1::JobSpec {
                    work: Some(headway::v1::job_spec::Work::Batch(headway::v1::BatchSpec {
                        item: Some(headway::v1::ItemTemplate {
                            payload_form: Some(headway::v1::item_template::PayloadForm::Payload(
                                to_value(nested(MAX_DEPTH + 1, object)),
                            )),
                            ..Default::default()
                        }),
                        ..Default::default()
                    })),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let bytes = request.encode_to_vec();
            assert_eq!(
                headway::v1::CreateJobRequest::decode(bytes.as_slice()),
                Ok(request)
            );
        }
    }
}
