//! What splitters find, and what happens when they cannot.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use headway::v1::JobState;
use headway_client::{BatchBuilder, Code, JobBuilder};
use headway_splitters::{Child, Definition, Page, PageRequest, SplitError, Splitter};
use headway_tests::{BackEnd, Deployment, Options, Record, WORK, outcome_counts, request};
use headway_worker::{Outcome, Task, TaskError};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::handlers::quick;

on_both!(
    an_empty_folder_and_folders_only,
    files_in_a_tree,
    nested_arrays,
    nothing_to_do,
    parameters_reach_the_payload,
    an_unknown_splitter,
    a_definition_that_is_malformed,
    a_folder_that_comes_later,
    a_splitter_that_changes_its_mind with fickle,
    a_splitter_that_fails_for_a_while with fickle,
    children_that_are_refused with greedy,
    children_that_the_database_refuses with greedy,
);

fn batch(splitter: &str, definition: Value) -> BatchBuilder {
    BatchBuilder::new(splitter)
        .json(&definition)
        .item(WORK, "item")
}

async fn an_empty_folder_and_folders_only(d: Deployment) {
    let folder = tempfile::tempdir().unwrap();
    let (empty, hollow) = (folder.path().join("empty"), folder.path().join("hollow"));
    std::fs::create_dir(&empty).unwrap();
    for number in 0..40 {
        std::fs::create_dir_all(hollow.join(format!("a/b{number}/c/d"))).unwrap();
    }
    for (id, root) in [("empty", empty), ("hollow", hollow)] {
        let spec = JobBuilder::new(batch("files", json!({"root": root}))).build();
        let name = d.create(id, spec).await;
        let job = d.finish(&name, JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [0, 0, 0, 0]);
        assert_eq!(job.progress.unwrap_or_default().percentage, 100.0);
    }
}

async fn files_in_a_tree(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let folder = tempfile::tempdir().unwrap();
    for number in 0..150 {
        let place = folder
            .path()
            .join(format!("{}/{}", number % 3, number % 10));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("file {number}")), "text").unwrap();
    }
    let spec = JobBuilder::new(batch("files", json!({"root": folder.path()}))).build();
    let name = d.create("tree", spec).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [150, 150, 0, 0]);
    let runs = record.runs();
    assert!(runs.len() == 150 && runs.values().all(|runs| *runs == 1));
    let rows = d.store().rows_of(d.uid(&name).await).await.unwrap();
    assert_eq!(
        (rows["batch"], rows["page"]),
        (34, 0),
        "only the root and two levels of folders are left: {rows:?}"
    );
}

async fn nested_arrays(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let definition = json!([1, [2, 3, [4, [], [[5]]], "six"], {"seven": [8]}, [], [[[]]]]);
    let name = d
        .create("nested", JobBuilder::new(batch("json", definition)).build())
        .await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [7, 7, 0, 0]);
    let items: Vec<_> = record.runs().into_keys().collect();
    assert_eq!(
        items,
        ["\"six\"", "1", "2", "3", "4", "5", "{\"seven\":[8]}"]
    );
}

async fn nothing_to_do(d: Deployment) {
    for (id, splitter, definition) in [
        ("range", "range", json!({"from": 5, "to": 5})),
        ("json", "json", json!([[], [[]]])),
        ("list", "list", json!([])),
    ] {
        let spec = JobBuilder::new(batch(splitter, definition)).build();
        let name = d.create(id, spec).await;
        let job = d.finish(&name, JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [0, 0, 0, 0]);
    }
}

async fn parameters_reach_the_payload(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let batch = batch("list", json!(["a", "b"]))
        .parameters(&json!({"size": 3}))
        .expect("an object")
        .item_payload(&json!({"name": "{{item}}", "size": "{{parameters.size}}"}));
    let name = d.create("list", JobBuilder::new(batch).build()).await;
    d.finish(&name, JobState::Completed).await;
    let items: Vec<_> = record.runs().into_keys().collect();
    assert_eq!(
        items,
        [r#"{"name":"a","size":3}"#, r#"{"name":"b","size":3}"#]
    );
}

async fn an_unknown_splitter(d: Deployment) {
    let spec = JobBuilder::new(batch("magic", json!({}))).build();
    let created = d.client().create_job(request("magic", spec)).await;
    match d.back_end() {
        // The server splits itself, so it knows what there is.
        BackEnd::Embedded => {
            let error = created.expect_err("nobody knows it");
            assert_eq!(error.code(), Code::InvalidArgument);
            assert_eq!(error.field_violations()[0].field, "spec.batch.splitter");
            assert!(error.message().contains("range"), "{error}");
        }
        BackEnd::Cluster => {
            let name = created.unwrap().name.parse().expect("a name");
            let job = d.finish(&name, JobState::Failed).await;
            assert_eq!((job.failure_count, outcome_counts(&job)), (1, [0, 0, 0, 0]));
            let failure = &d.failures(&name).await[0];
            assert_eq!(
                (failure.code.as_str(), failure.item.as_str()),
                ("SPLIT_FAILED", "1")
            );
            assert!(failure.message.contains("\"magic\""), "{failure:?}");
        }
    }
}

async fn a_definition_that_is_malformed(d: Deployment) {
    let data = BatchBuilder::new("json").data("[1, 2").item(WORK, "item");
    for (id, bad, says) in [
        (
            "text",
            batch("range", json!({"from": "x", "to": 3})),
            "integer",
        ),
        ("missing", batch("range", json!({"from": 1})), "to"),
        (
            "unknown",
            batch("range", json!({"from": 1, "to": 2, "by": 3})),
            "by",
        ),
        ("object", batch("json", json!({"a": 1})), "array"),
        ("cut", data, "JSON"),
    ] {
        let spec = JobBuilder::new(bad).build();
        let error = d
            .client()
            .create_job(request(id, spec))
            .await
            .expect_err(id);
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(
            error.field_violations()[0].field.starts_with("spec.batch."),
            "{error:?}"
        );
        assert!(error.message().contains(says), "{says}: {error}");
    }
}

async fn a_folder_that_comes_later(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("later");
    let spec = JobBuilder::new(batch("files", json!({"root": root}))).build();
    let name = d.create("later", spec).await;
    let job = d.finish(&name, JobState::Failed).await;
    let progress = job.progress.unwrap_or_default();
    assert_eq!(
        (progress.split_failure_count, job.failure_count),
        (1, 1),
        "{job:#?}"
    );
    assert_eq!(d.failures(&name).await[0].code, "SPLIT_FAILED");

    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("file"), "text").unwrap();
    d.client().retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1, 1, 0, 0]);
}

/// Calls itself reproducible, and answers differently each time it is asked for a page. Fails at
/// first where the definition says so.
struct Fickle(AtomicU32);

#[async_trait]
impl Splitter for Fickle {
    fn name(&self) -> &str {
        "fickle"
    }

    fn reproducible(&self) -> bool {
        true
    }

    fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        Ok(None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        let failures = request.definition.json()?;
        if u64::from(asked) < failures.as_u64().unwrap_or(0) {
            return Err(SplitError::transient("the network is away"));
        }
        let item = |number| Child::Item(json!(format!("{asked} {number}")));
        Ok(Page {
            children: (0..10).map(item).collect(),
            next: None,
        })
    }
}

fn fickle(options: &mut Options) {
    let fickle = Arc::new(Fickle(AtomicU32::new(0)));
    options.registry = options.registry.clone().add(fickle);
}

async fn a_splitter_that_changes_its_mind(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                drop(running);
                // It is sent again, for which the splitter is asked again.
                match task.payload::<String>()?.ends_with(" 3") {
                    true => Err(TaskError::retryable("BUSY", "not now")),
                    false => Ok(Outcome::done()),
                }
            }
        })
    });
    let spec = JobBuilder::new(batch("fickle", json!(0))).build();
    let name = d.create("fickle", spec).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job)[..2], [10, 9]);
    let failures = d.failures(&name).await;
    assert!(
        failures
            .iter()
            .any(|failure| failure.code == "NOT_REPRODUCIBLE"),
        "{failures:?}"
    );
    record.assert_runs(10);
}

async fn a_splitter_that_fails_for_a_while(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let spec = JobBuilder::new(batch("fickle", json!(2))).build();
    let name = d.create("patience", spec).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [10, 10, 0, 0]);
}

/// Finds children that no page may have; the definition says which.
struct Greedy;

#[async_trait]
impl Splitter for Greedy {
    fn name(&self) -> &str {
        "greedy"
    }

    fn reproducible(&self) -> bool {
        true
    }

    fn total(&self, _: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        Ok(None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let long = "x".repeat(2 << 20);
        let mut page = Page::default();
        match request.definition.json()?.as_str().unwrap_or_default() {
            "large items" => page.children = vec![Child::Item(json!(long))],
            "large batches" => page.children = vec![sub_batch(json!(long))],
            "many" => page.children = vec![Child::Item(json!(1)); request.limit + 1],
            "long cursors" => page.next = Some(vec![1; 5000]),
            _ => page.children = vec![sub_batch(json!("below"))],
        }
        Ok(page)
    }
}

fn sub_batch(definition: Value) -> Child {
    Child::Batch {
        definition: Definition::Json(definition),
        total: None,
    }
}

fn greedy(options: &mut Options) {
    options.registry = options.registry.clone().add(Arc::new(Greedy));
}

/// Runs a job whose children are refused, and checks that it fails with a reason that has this
/// text.
async fn refused(d: &Deployment, id: &str, definition: &str, reason: &str) {
    let spec = JobBuilder::new(batch("greedy", json!(definition))).build();
    let name = d.create(id, spec).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [0; 4], "{definition}");
    let failures = d.failures(&name).await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].code, "SPLIT_FAILED");
    assert!(failures[0].message.contains(reason), "{failures:?}");
}

async fn children_that_are_refused(d: Deployment) {
    for (number, (definition, reason)) in [
        ("large items", "more than 1048576"),
        ("large batches", "more than 1048576"),
        ("many", "children, more than"),
        ("long cursors", "a cursor of 5000 bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        refused(&d, &format!("greedy-{number}"), definition, reason).await;
    }
}

/// As one that is stricter about what it stores would.
async fn children_that_the_database_refuses(d: Deployment) {
    let statements: &[&str] = match d.back_end() {
        BackEnd::Cluster => &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '22021'; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON batch FOR EACH ROW \
             WHEN (NEW.number > 1) EXECUTE FUNCTION refuse()",
        ],
        BackEnd::Embedded => &[
            "CREATE TRIGGER refuse BEFORE INSERT ON batch WHEN NEW.number > 1 \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        ],
    };
    let database = d.database().await.unwrap();
    for statement in statements {
        database.execute_unprepared(statement).await.unwrap();
    }
    database.close().await.unwrap();
    refused(&d, "refused", "below", "the database refuses").await;
}
