//! Each bound of a spec, at its edge and one beyond it.

mod work;

use serde_json::json;

use super::*;
use crate::{
    job_types::TypeUse,
    jobs::TaskSpec,
    prerequisites::Prerequisite,
    values::ids::{JobId, PipeName},
};

fn task() -> JobSpec {
    JobSpec::new(Work::Task(TaskSpec {
        pipe: PipeName::new("p").unwrap(),
        task_type: "t".into(),
        payload: Vec::new(),
        content_type: String::new(),
        headers: BTreeMap::new(),
    }))
}

fn batch() -> JobSpec {
    JobSpec::new(Work::Batch(BatchSpec {
        splitter: "range".into(),
        definition: Vec::new(),
        parameters: json!({}),
        pipe: PipeName::new("p").unwrap(),
        task_type: "t".into(),
        payload: None,
        headers: BTreeMap::new(),
    }))
}

fn task_of(spec: &mut JobSpec) -> &mut TaskSpec {
    match &mut spec.work {
        Work::Task(task) => task,
        Work::Batch(_) => panic!("a batch"),
    }
}

fn batch_of(spec: &mut JobSpec) -> &mut BatchSpec {
    match &mut spec.work {
        Work::Batch(batch) => batch,
        Work::Task(_) => panic!("a task"),
    }
}

/// The fields that are wrong.
fn wrong_fields(spec: &JobSpec) -> Vec<String> {
    match spec.validate() {
        Ok(()) => Vec::new(),
        Err(Error::Invalid(list)) => list.into_iter().map(|wrong| wrong.field).collect(),
        Err(other) => panic!("{other}"),
    }
}

/// Checks that a spec is accepted after one change, and that after another only `field` is wrong.
fn edge(
    mut spec: JobSpec,
    field: &str,
    within: impl FnOnce(&mut JobSpec),
    beyond: impl FnOnce(&mut JobSpec),
) {
    within(&mut spec);
    assert_eq!(wrong_fields(&spec), [""; 0], "{field} within its bound");
    beyond(&mut spec);
    assert_eq!(wrong_fields(&spec), [field], "{field} beyond its bound");
}

/// Checks the bound of a number that begins at 1.
fn counted(field: &str, most: u32, of: fn(&mut JobSpec) -> &mut u32) {
    edge(
        task(),
        field,
        |spec| *of(spec) = most,
        |spec| *of(spec) = most + 1,
    );
    edge(task(), field, |spec| *of(spec) = 1, |spec| *of(spec) = 0);
}

/// Checks the bounds of a time in milliseconds.
fn timed(field: &str, least: u64, most: u64, set: fn(&mut JobSpec, u64)) {
    edge(
        task(),
        field,
        |spec| set(spec, most),
        |spec| set(spec, most + 1),
    );
    if let Some(below) = least.checked_sub(1) {
        edge(
            task(),
            field,
            |spec| set(spec, least),
            |spec| set(spec, below),
        );
    }
}

/// Checks that a text may have this many bytes and no more.
fn bounded(spec: fn() -> JobSpec, field: &str, most: usize, of: fn(&mut JobSpec) -> &mut String) {
    edge(
        spec(),
        field,
        |spec| *of(spec) = "x".repeat(most),
        |spec| of(spec).push('x'),
    );
}

fn many(count: usize) -> BTreeMap<String, String> {
    (0..count)
        .map(|number| (format!("k{number}"), String::new()))
        .collect()
}

#[test]
fn a_task_and_a_batch_with_defaults_are_accepted() {
    assert_eq!(task().validate(), Ok(()));
    assert_eq!(batch().validate(), Ok(()));
}

#[test]
fn display_names() {
    let field = "spec.display_name";
    bounded(task, field, limits::MAX_SHORT_TEXT_BYTES, |spec| {
        &mut spec.display_name
    });
    edge(
        task(),
        field,
        |_| {},
        |spec| spec.display_name = "a\0b".into(),
    );
}

#[test]
fn descriptions() {
    let field = "spec.description";
    bounded(task, field, limits::MAX_TEXT_BYTES, |spec| {
        &mut spec.description
    });
    edge(
        task(),
        field,
        |_| {},
        |spec| spec.description = "a\0b".into(),
    );
}

#[test]
fn texts_are_measured_in_bytes() {
    let mut spec = task();
    spec.display_name = "ü".repeat(limits::MAX_SHORT_TEXT_BYTES / 2 + 1);
    assert_eq!(wrong_fields(&spec), ["spec.display_name"]);
}

#[test]
fn labels() {
    let with = |key: &str, value: &str| {
        let label = (key.to_owned(), value.to_owned());
        move |spec: &mut JobSpec| spec.labels = [label].into()
    };
    let field = "spec.labels";
    let long = "v".repeat(limits::MAX_SHORT_TEXT_BYTES);
    edge(
        task(),
        field,
        with("k", &long),
        with("k", &(long.clone() + "v")),
    );
    edge(task(), field, with("k", ""), with("k", "a\0b"));
    edge(task(), field, with("a/b-c.d_e:F9", "x"), with("a b", "x"));
    edge(
        task(),
        field,
        |spec| spec.labels = many(limits::MAX_LABELS),
        |spec| spec.labels = many(limits::MAX_LABELS + 1),
    );
}

#[test]
fn keys_of_labels() {
    let longest = "k".repeat(limits::MAX_ID_BYTES);
    for key in ["a", "A-1", "team/part", "a:b", "_", longest.as_str()] {
        assert!(label_key(key), "{key}");
    }
    let longer = longest.clone() + "k";
    for key in ["", " ", "a=b", "ü", "a\n", "a\"", longer.as_str()] {
        assert!(!label_key(key), "{key:?}");
    }
}

#[test]
fn windows() {
    counted("spec.max_in_flight", limits::MAX_WINDOW, |spec| {
        &mut spec.max_in_flight
    });
}

#[test]
fn items_of_a_message() {
    let most = limits::MAX_ITEMS_PER_MESSAGE;
    counted("spec.items_per_message", most, |spec| {
        &mut spec.items_per_message
    });
}

#[test]
fn attempts() {
    let field = "spec.retry_policy.max_attempts";
    counted(field, limits::MAX_ATTEMPTS, |spec| {
        &mut spec.retry_policy.max_attempts
    });
}

#[test]
fn priorities() {
    edge(
        task(),
        "spec.priority",
        |spec| spec.priority = limits::MAX_PRIORITY,
        |spec| spec.priority += 1,
    );
    let mut lowest = task();
    lowest.priority = 0;
    assert_eq!(lowest.validate(), Ok(()));
}

#[test]
fn item_timeouts() {
    let most = limits::MAX_DURATION_MS;
    timed("spec.item_timeout", 0, most, |spec, ms| {
        spec.item_timeout_ms = ms
    });
}

#[test]
fn backoffs() {
    let most = limits::MAX_DURATION_MS;
    timed("spec.retry_policy.initial_backoff", 1, most, |spec, ms| {
        spec.retry_policy.initial_ms = ms;
    });
    timed("spec.retry_policy.max_backoff", 1, most, |spec, ms| {
        spec.retry_policy.max_ms = ms;
    });
}

#[test]
fn start_delays() {
    let most = limits::MAX_SPAN_MS;
    timed("spec.start_delay", 1, most, |spec, ms| {
        spec.start = Start::After(ms)
    });
}

#[test]
fn longest_durations() {
    let most = limits::MAX_SPAN_MS;
    timed("spec.max_duration", 1, most, |spec, ms| {
        spec.deadline = Deadline::Within(ms)
    });
}

#[test]
fn growth_of_backoffs() {
    let set = |growth: f64| move |spec: &mut JobSpec| spec.retry_policy.multiplier = growth;
    let field = "spec.retry_policy.multiplier";
    edge(task(), field, set(10.0), set(10.01));
    edge(task(), field, set(1.0), set(0.99));
    edge(task(), field, |_| {}, set(f64::NAN));
}

#[test]
fn random_parts_of_backoffs() {
    let set = |part: f64| move |spec: &mut JobSpec| spec.retry_policy.jitter = part;
    let field = "spec.retry_policy.jitter";
    edge(task(), field, set(1.0), set(1.01));
    edge(task(), field, set(0.0), set(-0.01));
    edge(task(), field, |_| {}, set(f64::NAN));
}

#[test]
fn percentages_that_may_fail() {
    let set = |percent: f64| {
        move |spec: &mut JobSpec| spec.failure_policy.tolerance = Tolerance::Percentage(percent)
    };
    let field = "spec.failure_policy.max_failed_percentage";
    edge(task(), field, set(100.0), set(100.01));
    edge(task(), field, set(0.01), set(0.0));
    edge(task(), field, |_| {}, set(f64::NAN));
}

#[test]
fn prerequisites() {
    let set = |count: usize| {
        let one = |number| Prerequisite {
            job: JobId::new(format!("j{number}")).unwrap(),
            optional: false,
        };
        move |spec: &mut JobSpec| spec.prerequisites = (0..count).map(one).collect()
    };
    let most = limits::MAX_PREREQUISITES;
    edge(task(), "spec.prerequisites", set(most), set(most + 1));
}

/// An object that takes this many bytes as JSON.
fn object(bytes: usize) -> serde_json::Value {
    let object = json!({"k": "x".repeat(bytes - r#"{"k":""}"#.len())});
    assert_eq!(object.to_string().len(), bytes);
    object
}

#[test]
fn parameters_of_a_job_type() {
    let set = |bytes: usize| {
        move |spec: &mut JobSpec| {
            spec.job_type = Some(TypeUse {
                name: "export".into(),
                version: "1".into(),
                parameters: object(bytes),
            });
        }
    };
    let most = limits::MAX_TEMPLATE_BYTES;
    edge(task(), "spec.job_type.parameters", set(most), set(most + 1));
}
