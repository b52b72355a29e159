//! What job types may say, and what their programs may do.

use std::time::{Duration, Instant};

use headway::v1::{JobState, JobType, job_spec::Work};
use headway_client::job_type_name;
use headway_tests::{Deployment, Record, WORK, name};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

use crate::{
    handlers::quick,
    job_types::{TASK, create, defined, evaluated, field, submit, typed},
};

on_both!(
    what_a_program_makes_is_checked with evaluated,
    programs_have_little_time_and_memory with evaluated,
    bad_definitions with evaluated,
);

async fn what_a_program_makes_is_checked(d: Deployment) {
    let client = d.client();
    let program = |program: &str| format!("program: |\n  {program}\n");
    for (number, (made, at, why)) in [
        (
            r#"{task: {pipe: "no pipe", type: "t"}}"#,
            "spec.task.pipe",
            "",
        ),
        (
            r#"{batch: {splitter: "range", json: {from: "x"}, item: {pipe: "work"}}}"#,
            "spec.batch.definition",
            "",
        ),
        (
            r#"{task: {pipe: "work", payload: "!"}}"#,
            "spec.job_type",
            "payload",
        ),
        (
            r#"{task: {pipe: "work", colour: "red"}}"#,
            "spec.job_type",
            "colour",
        ),
        (
            r#"{task: {pipe: "work"}, priority: 9}"#,
            "spec.job_type",
            "priority",
        ),
        (r#"{task: {pipe: "work"}, batch: {}}"#, "spec.job_type", ""),
        ("{}", "spec.job_type", "neither task nor batch"),
        (".parameters.root", "spec.job_type", "no object"),
        ("empty", "spec.job_type", "nothing"),
        (r#"error("no such root")"#, "spec.job_type", "no such root"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("t{number}");
        create(client, &id, &program(made)).await.unwrap();
        let refused = submit(client, "job", typed(&id, &json!({})))
            .await
            .unwrap_err();
        let (field, said) = field(&refused);
        assert_eq!(field, at, "{made}: {refused}");
        assert!(said.contains(why), "{made}: {refused}");
    }
    // It sees its partition, and nothing of the process.
    let seen = r#"{task: {pipe: "work", type: .partition, headers: {seen: ((env // {}) | length | tostring)}}}"#;
    create(client, "seen", &program(seen)).await.unwrap();
    d.worker(|worker| worker.handler(|_: Task| async { Ok::<_, TaskError>(Outcome::done()) }));
    let job = submit(client, "job", typed("seen", &json!({})))
        .await
        .unwrap();
    let Some(Work::Task(task)) = job.spec.unwrap().work else {
        panic!("a task")
    };
    assert_eq!(
        (task.r#type.as_str(), task.pipe.as_str()),
        ("default", WORK)
    );
    assert_eq!(task.headers["seen"], "0");
    d.finish(&name("job"), JobState::Completed).await;
}

async fn programs_have_little_time_and_memory(d: Deployment) {
    let client = d.client();
    for (id, program) in [
        ("endless", "{a: (0 | until(false; . + 1))}"),
        ("hungry", "{a: [limit(1000000000; repeat(\"much\"))]}"),
        ("deep", "def f: [f]; {a: f}"),
        ("large", "{a: ([range(1500000)] | tojson)}"),
    ] {
        create(client, id, &format!("program: '{program}'"))
            .await
            .unwrap();
    }
    // Several at once, and others beside them.
    create(client, "quick", TASK).await.unwrap();
    let began = Instant::now();
    let slow = ["endless", "hungry", "deep", "large"].map(|id| {
        let client = client.clone();
        async move {
            submit(&client, id, typed(id, &json!({})))
                .await
                .unwrap_err()
        }
    });
    for refused in futures::future::join_all(slow).await {
        let (at, why) = field(&refused);
        assert_eq!(at, "spec.job_type");
        assert!(why.contains("too much time or memory"), "{why}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    submit(client, "quick", typed("quick", &json!({"n": 1})))
        .await
        .unwrap();
    d.finish(&name("quick"), JobState::Completed).await;
}

async fn bad_definitions(d: Deployment) {
    let client = d.client();
    let large = format!("program: '.'\ndescription: {}", "x".repeat(256 * 1024));
    for (definition, why) in [
        ("", ""),
        ("program: [", ""),
        ("description: x", "program"),
        ("program: ''", "empty"),
        ("program: '.'\ncolour: red", "colour"),
        ("program: '{a: '", "program is wrong"),
        ("program: nosuch(1)", "nosuch"),
        ("program: '.'\nparameters: {type: 5}", "no JSON Schema"),
        (
            "program: '.'\nparameters: {$ref: 'file:///etc/passwd'}",
            "no JSON Schema",
        ),
        (large.as_str(), "at most"),
    ] {
        let refused = create(client, "bad", definition).await.unwrap_err();
        let (at, said) = field(&refused);
        assert_eq!(at, "job_type.definition");
        assert!(said.contains(why), "{definition:.60}: {said}");
    }
    for (id, at) in [
        ("", "job_type_id"),
        ("a/b", "job_type_id"),
        ("headway.x", "job_type_id"),
    ] {
        let refused = create(client, id, TASK).await.unwrap_err();
        assert_eq!(field(&refused).0, at);
    }
    let refused = client.get_job_type("types/one").await.unwrap_err();
    assert_eq!(field(&refused).0, "name");
    let unknown = JobType {
        name: job_type_name("none"),
        ..defined(TASK)
    };
    let refused = client.update_job_type(unknown).await.unwrap_err();
    assert_eq!(refused.reason(), Some("JOB_TYPE_NOT_FOUND"));
}
