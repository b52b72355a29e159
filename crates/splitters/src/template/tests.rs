//! Tests of item templates.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::any_json;

fn render(template: Value, item: Value, parameters: Value) -> Result<Value, String> {
    let template = Template::parse(Some(&template)).map_err(|error| error.to_string())?;
    let bytes = template
        .render(&item, &parameters)
        .map_err(|error| error.to_string())?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn placeholders_are_replaced() {
    let item = json!({"a": {"b": [1, "x"]}, "n": 7, "s": "q\"\n\u{1}é", "none": null});
    let parameters = json!({"to": "/out", "deep": {"yes": true}});
    for (template, expected) in [
        (json!("{{item}}"), item.clone()),
        (json!("{{parameters}}"), parameters.clone()),
        (json!("{{item.a.b}}"), json!([1, "x"])),
        (json!("{{ item.n }}"), json!(7)),
        (json!("{{item.a.b.1}}"), json!("x")),
        (json!("{{item.none}}"), json!(null)),
        (json!("{{parameters.deep.yes}}"), json!(true)),
        (
            json!("n={{item.n}} s={{item.s}}"),
            json!("n=7 s=q\"\n\u{1}é"),
        ),
        (json!("{{item.n}}{{item.n}}"), json!("77")),
        (json!(" {{item.n}}"), json!(" 7")),
        (json!("{{item.a.b}}!"), json!("[1,\"x\"]!")),
        (
            json!("{{item.none}} {{parameters.deep}}"),
            json!("null {\"yes\":true}"),
        ),
        (json!("{{{{item}}"), json!("{{item}}")),
        (json!("{{{{{{item.n}}"), json!("{{7")),
        (json!("}} { }"), json!("}} { }")),
        (json!(""), json!("")),
        (
            json!([1.5, null, {"{{item}}": ["{{item.n}}", true]}]),
            json!([1.5, null, {"{{item}}": [7, true]}]),
        ),
    ] {
        assert_eq!(
            render(template.clone(), item.clone(), parameters.clone()),
            Ok(expected),
            "{template}"
        );
    }
}

#[test]
fn wrong_templates_are_refused() {
    for (template, part) in [
        (
            json!("{{items}}"),
            "unknown placeholder \"{{items}}\": it must be {{item}}",
        ),
        (json!({"a": ["x {{}}"]}), "unknown placeholder \"{{}}\""),
        (json!("{{item.}}"), "unknown placeholder"),
        (json!("{{item..a}}"), "unknown placeholder"),
        (json!("{{{item}}}"), "unknown placeholder \"{{{item}}\""),
        (json!("x {{item"), "{{ without }}, 2 bytes into a string"),
    ] {
        let error = Template::parse(Some(&template)).unwrap_err().to_string();
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn a_missing_field_is_named() {
    let item = json!({"a": {"b": 1}, "list": [1]});
    for (template, missing) in [
        ("{{item.x}}", "`item.x` is missing"),
        (
            "{{item.a.c.d}}",
            "uses `item.a.c.d`, but `item.a.c` is missing",
        ),
        ("to {{item.a.b.c}}", "`item.a.b.c` is missing"),
        ("{{item.list.1}}", "`item.list.1` is missing"),
        ("{{parameters.x}}", "`parameters.x` is missing"),
    ] {
        let error = render(json!(template), item.clone(), Value::Null).unwrap_err();
        assert!(
            error.contains(missing),
            "{error:?} does not say {missing:?}"
        );
    }
}

#[test]
fn payloads_are_bounded() {
    let large = json!("x".repeat(600_000));
    let template = Template::parse(Some(&json!(vec!["{{item}}"; 500]))).unwrap();
    assert!(matches!(
        template.render(&large, &Value::Null),
        Err(TemplateError::TooLarge)
    ));
    let item = Template::parse(None).unwrap();
    assert!(item.render(&large, &Value::Null).is_ok());
    let larger = json!("x".repeat(MAX_PAYLOAD_BYTES));
    assert!(matches!(
        item.render(&larger, &Value::Null),
        Err(TemplateError::TooLarge)
    ));
}

/// The buffer is made once and never grown.
#[test]
fn an_integer_takes_one_small_allocation() {
    let template = Template::parse(None).unwrap();
    for number in [0, 1, i64::MIN, i64::MAX] {
        let payload = template.render(&json!(number), &Value::Null).unwrap();
        assert_eq!(payload, number.to_string().into_bytes());
        assert_eq!(payload.capacity(), NUMBER_BYTES);
    }
    assert_eq!(
        template
            .render(&json!(f64::MIN_POSITIVE), &Value::Null)
            .unwrap()
            .capacity(),
        NUMBER_BYTES
    );
}

/// What a template means, said plainly: for trees without placeholders inside longer strings.
fn expected(template: &Value, item: &Value) -> Value {
    match template {
        Value::String(text) if text == "{{item}}" => item.clone(),
        Value::String(text) => json!(text.replace("{{{{", "{{")),
        Value::Array(array) => array.iter().map(|inner| expected(inner, item)).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(key, inner)| (key.clone(), expected(inner, item)))
            .collect(),
        other => other.clone(),
    }
}

/// Puts placeholders and escapes in place of some values.
fn with_placeholders(value: Value) -> Value {
    match value {
        Value::Null => json!("{{item}}"),
        Value::Bool(_) => json!("{{{{"),
        Value::String(text) => json!(text.replace("{{", "")),
        Value::Array(array) => array.into_iter().map(with_placeholders).collect(),
        Value::Object(object) => object
            .into_iter()
            .map(|(key, inner)| (key, with_placeholders(inner)))
            .collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn rendering_is_replacing(template in any_json(), item in any_json()) {
        let template = with_placeholders(template);
        prop_assert_eq!(render(template.clone(), item.clone(), Value::Null).unwrap(), expected(&template, &item));
    }

    #[test]
    fn text_survives_inside_strings(text in "\\PC*|[\u{0}-\u{7f}]*") {
        let rendered = render(json!("<{{item}}>"), json!(text), Value::Null).unwrap();
        prop_assert_eq!(rendered, json!(format!("<{text}>")));
        let bytes = Template::parse(None).unwrap().render(&json!(text), &Value::Null).unwrap();
        prop_assert_eq!(bytes, serde_json::to_vec(&json!(text)).unwrap());
    }
}
