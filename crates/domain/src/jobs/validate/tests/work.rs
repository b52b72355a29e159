//! The bounds of tasks and batches.

use super::*;

#[test]
fn texts_of_a_task() {
    let most = limits::MAX_SHORT_TEXT_BYTES;
    bounded(task, "spec.task.type", most, |spec| {
        &mut task_of(spec).task_type
    });
    let most = limits::MAX_ID_BYTES;
    bounded(task, "spec.task.content_type", most, |spec| {
        &mut task_of(spec).content_type
    });
}

#[test]
fn payloads_of_a_task() {
    edge(
        task(),
        "spec.task.payload",
        |spec| task_of(spec).payload = vec![0; limits::MAX_PAYLOAD_BYTES],
        |spec| task_of(spec).payload.push(0),
    );
}

/// Checks the bounds of headers.
fn header_bounds(
    spec: fn() -> JobSpec,
    field: &str,
    of: fn(&mut JobSpec) -> &mut BTreeMap<String, String>,
) {
    let with = |key: &str, value: &str| {
        let header = (key.to_owned(), value.to_owned());
        move |spec: &mut JobSpec| *of(spec) = [header].into()
    };
    let key = "k".repeat(limits::MAX_ID_BYTES);
    edge(
        spec(),
        field,
        with(&key, ""),
        with(&(key.clone() + "k"), ""),
    );
    edge(spec(), field, with("k", ""), with("", ""));
    let value = "v".repeat(limits::MAX_HEADER_BYTES);
    edge(
        spec(),
        field,
        with("k", &value),
        with("k", &(value.clone() + "v")),
    );
    edge(spec(), field, with("any character: ü", ""), with("k\0", ""));
    edge(spec(), field, with("k", "ü"), with("k", "v\0"));
    edge(
        spec(),
        field,
        |spec| *of(spec) = many(limits::MAX_LABELS),
        |spec| *of(spec) = many(limits::MAX_LABELS + 1),
    );
}

#[test]
fn headers_of_a_task() {
    header_bounds(task, "spec.task.headers", |spec| &mut task_of(spec).headers);
}

#[test]
fn headers_of_items() {
    let field = "spec.batch.item.headers";
    header_bounds(batch, field, |spec| &mut batch_of(spec).headers);
}

#[test]
fn splitters() {
    let field = "spec.batch.splitter";
    bounded(batch, field, limits::MAX_ID_BYTES, |spec| {
        &mut batch_of(spec).splitter
    });
    edge(
        batch(),
        field,
        |_| {},
        |spec| batch_of(spec).splitter.clear(),
    );
    edge(
        batch(),
        field,
        |_| {},
        |spec| batch_of(spec).splitter = "a\0".into(),
    );
}

#[test]
fn definitions() {
    // An encoded definition has a byte more than its client sent.
    edge(
        batch(),
        "spec.batch.definition",
        |spec| batch_of(spec).definition = vec![0; limits::MAX_PAYLOAD_BYTES + 1],
        |spec| batch_of(spec).definition.push(0),
    );
}

#[test]
fn parameters_and_templates_of_a_batch() {
    let most = limits::MAX_TEMPLATE_BYTES;
    edge(
        batch(),
        "spec.batch.parameters",
        |spec| batch_of(spec).parameters = object(most),
        |spec| batch_of(spec).parameters = object(most + 1),
    );
    edge(
        batch(),
        "spec.batch.item.payload",
        |spec| batch_of(spec).payload = Some(object(most)),
        |spec| batch_of(spec).payload = Some(object(most + 1)),
    );
}

#[test]
fn types_of_items() {
    let most = limits::MAX_SHORT_TEXT_BYTES;
    bounded(batch, "spec.batch.item.type", most, |spec| {
        &mut batch_of(spec).task_type
    });
}
