//! Job types whose configuration comes from the environment of the server's process.

use headway::v1::{CreateJobRequest, job_spec::Work};
use headway_client::job_type_name;
use headway_tests::{Cluster, ClusterOptions, request, run_cluster};
use serde_json::json;

use crate::job_types::{create, typed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    run_cluster(
        with_variables(ClusterOptions::embedded(PROGRAM)),
        set_by_the_environment,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster() {
    run_cluster(
        with_variables(ClusterOptions::new(PROGRAM)),
        set_by_the_environment,
    )
    .await;
}

fn with_variables(options: ClusterOptions) -> ClusterOptions {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/job_types/definitions");
    options.with(|options| {
        options.variables = [
            ("HEADWAY_JOB_TYPES_DIR", folder),
            ("HEADWAY_JOB_TYPE_UNSET_BUCKET", "archive-17"),
            ("HEADWAY_JOB_TYPE_NUMBERS_PIPE", "elsewhere"),
            ("HEADWAY_JOB_TYPE_OPEN_BUCKET", "told"),
            ("HEADWAY_JOB_TYPE_SECRET_BUCKET", "hidden"),
            ("HEADWAY_JOB_TYPE_VARIABLES", "HEADWAY_JOB_TYPE_OPEN_BUCKET"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    })
}

async fn set_by_the_environment(cluster: Cluster) {
    let client = cluster.client();
    let made = async |id: &str, parameters| {
        let rehearsal = CreateJobRequest {
            validate_only: true,
            ..request("job", typed(id, &parameters))
        };
        let job = client.create_job(rehearsal).await.unwrap();
        job.spec.unwrap().work.unwrap()
    };
    // One that must be set, and one in place of its default.
    let set = client.get_job_type(&job_type_name("unset")).await.unwrap();
    assert_eq!(set.problem, "");
    let Work::Task(task) = made("unset", json!({})).await else {
        panic!("a task")
    };
    assert_eq!(task.r#type, "archive-17");
    let Work::Batch(batch) = made("numbers", json!({"to": 3})).await else {
        panic!("a batch")
    };
    assert_eq!(batch.item.unwrap().pipe, "elsewhere");
    // Types made by the API read the variables that a setting names, and no other.
    let definition = "configuration: {bucket: {}}\nprogram: '{task: {pipe: \"work\", type: .configuration.bucket}}'";
    let open = create(client, "open", definition).await.unwrap();
    assert_eq!(open.problem, "");
    let Work::Task(task) = made("open", json!({})).await else {
        panic!("a task")
    };
    assert_eq!(task.r#type, "told");
    let secret = create(client, "secret", definition).await.unwrap();
    assert!(secret.problem.contains("is not set"), "{}", secret.problem);
    // Names that become a variable of another type are refused.
    for id in ["Unset", "OPEN"] {
        let refused = create(client, id, definition).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("same variable"), "{refused}");
    }
}
