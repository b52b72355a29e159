//! What a spec from the wire becomes, and every way in which it is refused.

mod batches;
mod numbers;

use std::collections::HashMap;

use headway::v1::{batch_spec::ParametersForm, failure_policy::Tolerance as WireTolerance};
use headway_domain::{
    jobs::{FailurePolicy, Tolerance, Work},
    retries::RetryPolicy,
};
use headway_splitters::{Definition, Registry};
use prost_types::Duration as WireDuration;
use serde_json::{Value as Json, json};

use super::{super::json, *};

fn wire_task() -> v1::JobSpec {
    v1::JobSpec {
        work: Some(v1::job_spec::Work::Task(v1::TaskSpec {
            pipe: "documents".into(),
            r#type: "export".into(),
            payload: b"{}".to_vec(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn wire_batch(definition: Json) -> v1::JobSpec {
    v1::JobSpec {
        work: Some(v1::job_spec::Work::Batch(v1::BatchSpec {
            splitter: "range".into(),
            definition: Some(v1::batch_spec::Definition::Json(json::to_value(definition))),
            parameters_form: None,
            item: Some(v1::ItemTemplate {
                pipe: "documents".into(),
                ..Default::default()
            }),
        })),
        ..Default::default()
    }
}

fn parameters(fields: serde_json::Map<String, Json>) -> ParametersForm {
    ParametersForm::Parameters(json::to_struct(fields))
}

fn range() -> v1::JobSpec {
    wire_batch(json!({"from": 0, "to": 10}))
}

fn batch_mut(spec: &mut v1::JobSpec) -> &mut v1::BatchSpec {
    match &mut spec.work {
        Some(v1::job_spec::Work::Batch(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

fn task_mut(spec: &mut v1::JobSpec) -> &mut v1::TaskSpec {
    match &mut spec.work {
        Some(v1::job_spec::Work::Task(task)) => task,
        other => panic!("{other:?}"),
    }
}

fn builtins() -> Splitters {
    let registry = Registry::with_builtins();
    Splitters {
        names: Some(registry.names().into_iter().map(str::to_owned).collect()),
        registry: Some(registry),
    }
}

/// The only field that is refused, and why.
fn refused(spec: v1::JobSpec) -> (String, String) {
    match super::spec(None, Some(spec), &builtins()) {
        Err(Error::Invalid(list)) => {
            assert_eq!(list.len(), 1, "{list:?}");
            (list[0].field.clone(), list[0].description.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_filled_in() {
    let spec = super::spec(None, Some(wire_task()), &builtins()).unwrap();
    assert_eq!(spec.max_in_flight, 10_000);
    assert_eq!(spec.items_per_message, 1);
    assert_eq!(spec.item_timeout_ms, 0);
    assert_eq!(spec.retry_policy, RetryPolicy::default());
    assert_eq!(spec.failure_policy, FailurePolicy::default());
    assert_eq!(spec.result_pipe, None);
    assert_eq!(spec.body(), b"{}");
}

#[test]
fn what_is_said_is_taken() {
    let mut wire = range();
    wire.retry_policy = Some(v1::RetryPolicy {
        max_attempts: 1,
        initial_backoff: Some(WireDuration {
            seconds: 0,
            nanos: 1_500_001,
        }),
        max_backoff: Some(WireDuration {
            seconds: 7 * 24 * 3600,
            nanos: 0,
        }),
        multiplier: 1.0,
        jitter: Some(0.0),
    });
    wire.failure_policy = Some(v1::FailurePolicy {
        tolerance: Some(WireTolerance::MaxFailedPercentage(2.5)),
        on_exceeded: 2,
    });
    wire.item_timeout = Some(WireDuration {
        seconds: 1,
        nanos: 0,
    });
    batch_mut(&mut wire).parameters_form = Some(parameters(
        json!({"target": "x"}).as_object().unwrap().clone(),
    ));
    let spec = super::spec(None, Some(wire), &builtins()).unwrap();
    let retry = spec.retry_policy;
    assert_eq!((retry.initial_ms, retry.max_ms), (2, 604_800_000));
    assert_eq!((retry.multiplier, retry.jitter), (1.0, 0.0));
    assert_eq!(spec.failure_policy.tolerance, Tolerance::Percentage(2.5));
    assert!(spec.failure_policy.stop);
    assert_eq!(spec.item_timeout_ms, 1000);
    let Work::Batch(batch) = &spec.work else {
        panic!("{spec:?}")
    };
    assert_eq!(batch.parameters, json!({"target": "x"}));
    let definition = Definition::decode(&batch.definition).unwrap();
    assert_eq!(definition, Definition::Json(json!({"from": 0, "to": 10})));
}

#[test]
fn neither_work_nor_definition_nor_item_may_be_missing() {
    assert_eq!(refused(v1::JobSpec::default()).0, "spec.work");
    let mut spec = range();
    batch_mut(&mut spec).definition = None;
    assert_eq!(refused(spec).0, "spec.batch.definition");
    let mut spec = range();
    batch_mut(&mut spec).item = None;
    assert_eq!(refused(spec).0, "spec.batch.item");
    assert!(super::spec(None, None, &builtins()).is_err());
}

#[test]
fn sizes_are_bounded_and_the_bound_is_named() {
    let mut spec = wire_task();
    task_mut(&mut spec).payload = vec![b'x'; limits::MAX_PAYLOAD_BYTES];
    assert!(super::spec(None, Some(spec), &builtins()).is_ok());
    let mut spec = wire_task();
    task_mut(&mut spec).payload = vec![b'x'; limits::MAX_PAYLOAD_BYTES + 1];
    let (field, why) = refused(spec);
    assert_eq!(field, "spec.task.payload");
    assert!(why.contains("1048576") && why.contains("1048577"), "{why}");

    let mut spec = range();
    batch_mut(&mut spec).definition = Some(v1::batch_spec::Definition::Data(vec![
        b'x';
        limits::MAX_PAYLOAD_BYTES
            + 1
    ]));
    let (field, why) = refused(spec);
    assert_eq!(field, "spec.batch.definition");
    assert!(why.contains("1048576 bytes, and has 1048577"), "{why}");

    // Small as JSON, large as a protobuf message: 500,000 numbers of one digit.
    let mut spec = wire_batch(json!({"items": vec![1; 500_000]}));
    batch_mut(&mut spec).splitter = "json".into();
    let any = Splitters::default();
    let Err(Error::Invalid(list)) = super::spec(None, Some(spec), &any) else {
        panic!("accepted")
    };
    assert_eq!(list[0].field, "spec");

    let labels: HashMap<_, _> = (0..65).map(|n| (format!("k{n}"), String::new())).collect();
    let (field, why) = refused(v1::JobSpec {
        labels,
        ..wire_task()
    });
    assert_eq!(field, "spec.labels");
    assert!(why.contains("64"), "{why}");
}

#[test]
fn pipes_are_named_where_they_stand() {
    let mut spec = wire_task();
    task_mut(&mut spec).pipe = "a/b".into();
    assert_eq!(refused(spec).0, "spec.task.pipe");
    assert_eq!(
        refused(v1::JobSpec {
            result_pipe: "a b".into(),
            ..wire_task()
        })
        .0,
        "spec.result_pipe"
    );
    let mut spec = range();
    if let Some(item) = &mut batch_mut(&mut spec).item {
        item.pipe = String::new();
    }
    assert_eq!(refused(spec).0, "spec.batch.item.pipe");
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let spec = v1::JobSpec {
        max_in_flight: -1,
        items_per_message: -1,
        ..Default::default()
    };
    let Err(Error::Invalid(list)) = super::spec(None, Some(spec), &builtins()) else {
        panic!("accepted")
    };
    let fields: Vec<_> = list.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(
        fields,
        ["spec.work", "spec.max_in_flight", "spec.items_per_message"]
    );
}
