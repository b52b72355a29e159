//! Splitters, definitions and templates of batches.

use headway::v1::item_template::PayloadForm;
use prost_types::{Struct, Value, value::Kind};

use super::*;
use crate::grpc::spec::read;

#[test]
fn splitters_and_their_definitions_are_checked() {
    let mut spec = range();
    batch_mut(&mut spec).splitter = "nothing".into();
    let (field, why) = refused(spec.clone());
    assert_eq!(field, "spec.batch.splitter");
    assert!(why.contains("files, json, lines, list, range"), "{why}");
    // Where batch workers may know more, the name is theirs to judge.
    assert!(read::spec(None, Some(spec), &Splitters::default()).is_ok());

    let (field, why) = refused(wire_batch(json!({"begin": 0})));
    assert_eq!(field, "spec.batch.definition");
    assert!(why.contains("range"), "{why}");
    assert_eq!(
        refused(wire_batch(json!("text"))).0,
        "spec.batch.definition"
    );

    let mut spec = range();
    batch_mut(&mut spec).definition =
        Some(v1::batch_spec::Definition::Data(b"{\"from\":".to_vec()));
    assert_eq!(refused(spec).0, "spec.batch.definition");
}

#[test]
fn templates_are_checked() {
    let with = |payload: Json| {
        let mut spec = range();
        if let Some(item) = &mut batch_mut(&mut spec).item {
            item.payload_form = Some(PayloadForm::Payload(json::to_value(payload)));
        }
        spec
    };
    assert!(read::spec(None, Some(with(json!({"n": "{{item}}"}))), &builtins()).is_ok());
    for bad in [json!(null), json!("{{nothing}}"), json!(["{{item"])] {
        assert_eq!(refused(with(bad)).0, "spec.batch.item.payload");
    }
}

#[test]
fn json_that_json_cannot_say_is_refused() {
    let nan = Value {
        kind: Some(Kind::NumberValue(f64::NAN)),
    };
    let mut spec = range();
    batch_mut(&mut spec).definition = Some(v1::batch_spec::Definition::Json(nan.clone()));
    assert_eq!(refused(spec).0, "spec.batch.definition");
    let mut spec = range();
    batch_mut(&mut spec).parameters_form = Some(ParametersForm::Parameters(Struct {
        fields: [("x".to_owned(), nan)].into(),
    }));
    assert_eq!(refused(spec).0, "spec.batch.parameters");
}
