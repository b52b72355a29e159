//! What clients see of jobs, and that what they read can be sent again.

use std::{collections::BTreeMap, sync::Arc};

use headway_domain::{
    JobUid, PipeName,
    jobs::{BatchSpec, Counts, JobMeta, Phase, TaskSpec, Tolerance, Work},
};
use headway_splitters::Definition;
use serde_json::json;

use super::*;
use crate::grpc::spec::Splitters;

fn batch_spec() -> JobSpec {
    let mut spec = JobSpec::new(Work::Batch(BatchSpec {
        splitter: "range".into(),
        definition: Definition::Json(json!({"start": 0, "end": 7, "deep": [1.5, null]})).encode(),
        parameters: json!({"a": {"b": [1, 2]}}),
        pipe: PipeName::new("documents").unwrap(),
        task_type: "export".into(),
        payload: Some(json!({"n": "{{item}}"})),
        headers: BTreeMap::from([("k".into(), "v".into())]),
    }));
    spec.retry_policy.jitter = 0.0;
    spec.item_timeout_ms = 1234;
    spec.failure_policy.tolerance = Tolerance::Percentage(3.5);
    spec.result_pipe = Some(PipeName::new("results").unwrap());
    spec.labels.insert("team".into(), "blue".into());
    spec
}

fn task_spec() -> JobSpec {
    JobSpec::new(Work::Task(TaskSpec {
        pipe: PipeName::new("documents").unwrap(),
        task_type: "export".into(),
        payload: vec![0, 255, 7],
        content_type: "application/octet-stream".into(),
        headers: BTreeMap::new(),
    }))
}

fn view(spec: &JobSpec) -> JobView {
    let mut kept = spec.clone();
    kept.set_body(Vec::new());
    let meta = JobMeta {
        key: 1,
        uid: JobUid(uuid::Uuid::nil()),
        name: "partitions/acme/jobs/nightly".parse().unwrap(),
        shard: 0,
        spec: kept,
        creator: "ada".into(),
        created: 1_700_000_000_123_456,
        version: 0,
    };
    JobView {
        job: Job::new(Arc::new(meta), 100),
        body: None,
        prerequisites: Vec::new(),
        failures: Vec::new(),
    }
}

#[test]
fn a_spec_that_is_read_and_sent_again_is_the_same() {
    for spec in [batch_spec(), task_spec()] {
        let wire = full(&view(&spec), spec.body()).unwrap();
        let again = spec::spec_of(None, wire.spec, None, &Splitters::default()).unwrap();
        assert_eq!(again, spec);
        assert_eq!(again.hash(), spec.hash());
    }
}

#[test]
fn briefs_leave_the_body_out() {
    let spec = batch_spec();
    let brief = super::brief(&view(&spec)).spec.unwrap();
    let Some(v1::job_spec::Work::Batch(batch)) = brief.work else {
        panic!("{brief:?}")
    };
    assert_eq!(batch.definition, None);
    assert_eq!(batch.splitter, "range");
    assert!(full(&view(&spec), b"\x09").is_err());
}

#[test]
fn counters_add_up_and_times_are_exact() {
    let mut view = view(&task_spec());
    view.job.phase = Phase::Active;
    view.job.started = Some(1_700_000_001_000_001);
    view.job.counts = Counts {
        known: 10,
        done: 3,
        failed: 1,
        discarded: 1,
        unreleased: 2,
        parked: 1,
        delayed: 1,
        declared: 20,
        failures: 4,
        ..Counts::default()
    };
    let job = brief(&view);
    let progress = job.progress.unwrap();
    assert_eq!(
        progress.items_done
            + progress.items_failed
            + progress.items_discarded
            + progress.items_open,
        progress.items_known
    );
    assert_eq!((progress.items_open, progress.items_in_flight), (5, 1));
    let waiting = (progress.items_parked, progress.items_delayed);
    assert_eq!(waiting, (1, 1));
    assert_eq!((progress.items_expected, progress.total_final), (20, true));
    assert_eq!(job.failure_count, 4);
    assert_eq!(job.created_by, "ada");
    let created = job.create_time.unwrap();
    assert_eq!(
        (created.seconds, created.nanos),
        (1_700_000_000, 123_456_000)
    );
    assert_eq!(job.start_time.unwrap().nanos, 1000);
    assert_eq!(job.end_time, None);
}

#[test]
fn failures_name_their_item() {
    let row = FailureRow {
        seq: 1,
        run: 2,
        page: 17,
        idx: 4,
        code: "POISON".into(),
        message: "m".into(),
        details: "d".into(),
        attempt: 3,
        recorded: 5_000_000,
        worker: "w".into(),
    };
    let item = failure(&row);
    assert_eq!((item.item.as_str(), item.attempt, item.run), ("17-4", 3, 2));
    assert_eq!(item.record_time.unwrap().seconds, 5);
    assert_eq!(failure(&FailureRow { idx: -1, ..row }).item, "17");
}

#[test]
fn json_goes_out_as_text_whatever_its_values() {
    let mut spec = batch_spec();
    spec.job_type = Some(headway_domain::job_types::TypeUse {
        name: "numbers".to_owned(),
        version: "1".to_owned(),
        parameters: json!({"to": 7}),
    });
    let wire = full(&view(&spec), spec.body()).unwrap().spec.unwrap();
    let Some(v1::job_spec::Work::Batch(batch)) = wire.work else {
        panic!("a batch was sent")
    };
    let definition = r#"{"deep":[1.5,null],"end":7,"start":0}"#.to_owned();
    let definition = v1::batch_spec::Definition::JsonText(definition);
    assert_eq!(batch.definition, Some(definition));
    let parameters = r#"{"a":{"b":[1,2]}}"#.to_owned();
    let parameters = v1::batch_spec::ParametersForm::ParametersJsonText(parameters);
    assert_eq!(batch.parameters_form, Some(parameters));
    let payload = r#"{"n":"{{item}}"}"#.to_owned();
    let payload = v1::item_template::PayloadForm::PayloadJsonText(payload);
    assert_eq!(batch.item.unwrap().payload_form, Some(payload));
    let parameters = r#"{"to":7}"#.to_owned();
    let parameters = v1::job_type_use::ParametersForm::ParametersJsonText(parameters);
    assert_eq!(wire.job_type.unwrap().parameters_form, Some(parameters));
}
