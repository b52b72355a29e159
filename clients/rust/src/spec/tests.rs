use super::*;
use crate::value_to_json;
use serde_json::json;

#[test]
fn a_batch_is_built_in_any_order() -> Result<(), JsonError> {
    let batch = BatchBuilder::new("files")
        .item_payload(&json!({"path": "{{item}}"}))
        .json(&json!({"root": "/srv"}))
        .parameters(&json!({"level": 6}))?
        .item("documents.export", "export");
    let spec = JobBuilder::new(batch)
        .max_failed_percentage(2.5)
        .on_exceeded(OnExceeded::Stop)
        .max_attempts(2)
        .item_timeout(Duration::from_millis(1500))
        .build();
    let Some(Work::Batch(batch)) = spec.work else {
        panic!("a batch was built")
    };
    let item = batch.item.unwrap_or_default();
    assert_eq!(
        (item.pipe.as_str(), item.r#type.as_str()),
        ("documents.export", "export")
    );
    let Some(PayloadForm::Payload(payload)) = &item.payload_form else {
        panic!("the payload is a value")
    };
    assert_eq!(value_to_json(payload), json!({"path": "{{item}}"}));
    let policy = spec.failure_policy.unwrap_or_default();
    assert_eq!(policy.on_exceeded(), OnExceeded::Stop);
    assert_eq!(policy.tolerance, Some(Tolerance::MaxFailedPercentage(2.5)));
    let limit = spec.item_timeout.unwrap_or_default();
    assert_eq!((limit.seconds, limit.nanos), (1, 500_000_000));
    Ok(())
}

#[test]
fn what_a_double_cannot_keep_travels_as_text() -> Result<(), JsonError> {
    let large = json!({"n": u64::MAX});
    let batch = BatchBuilder::new("range")
        .json(&large)
        .item_payload(&large)
        .parameters(&large)?;
    let spec = JobBuilder::new(batch).build();
    let Some(Work::Batch(batch)) = spec.work else {
        panic!("a batch was built")
    };
    let text = large.to_string();
    assert_eq!(batch.definition, Some(Definition::JsonText(text.clone())));
    let parameters = ParametersForm::ParametersJsonText(text.clone());
    assert_eq!(batch.parameters_form, Some(parameters));
    let payload = batch.item.and_then(|item| item.payload_form);
    assert_eq!(payload, Some(PayloadForm::PayloadJsonText(text)));
    assert!(BatchBuilder::new("range").parameters(&json!([1])).is_err());
    Ok(())
}

#[test]
fn a_json_task_says_its_media_type() {
    let spec = JobBuilder::new(TaskBuilder::new("mail", "send").json(&json!({"to": "a"}))).build();
    let Some(Work::Task(task)) = spec.work else {
        panic!("a task was built")
    };
    assert_eq!(task.content_type, "application/json");
    assert_eq!(task.payload, br#"{"to":"a"}"#);
}
