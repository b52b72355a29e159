//! What the command line does beside single jobs: files of many, counts, schedules that change,
//! partitions that are held.

use std::{fs, path::Path};

use headway::v1::{Schedule, job_spec::Work};
use headway_cli::ExitStatus;
use headway_client::schedule_name;
use headway_tests::Deployment;
use serde_json::{Value, json};

use crate::clients::command_line::headway;

on_both!(
    the_jobs_of_a_file,
    a_schedule_is_changed,
    suspended_partitions_are_listed,
);

/// Runs a command that has to succeed: what it printed.
async fn done(d: &Deployment, arguments: &[&str]) -> String {
    let (status, printed, said) = headway(d, arguments).await;
    assert_eq!(status, ExitStatus::Completed, "{arguments:?}: {said}");
    printed
}

/// A job of one item that waits for another.
fn after(id: &str, needed: &str) -> Value {
    let task = json!({"pipe": "work", "type": "number", "payload": "MQ=="});
    let spec =
        json!({"task": task, "prerequisites": [{"job": needed}], "labels": {"team": "blue"}});
    json!({"job_id": id, "spec": spec})
}

fn written(folder: &Path, jobs: &[Value]) -> String {
    let lines: Vec<String> = jobs.iter().map(Value::to_string).collect();
    let file = folder.join("jobs.ndjson");
    fs::write(&file, lines.join("\n")).expect("a written file");
    file.to_string_lossy().into_owned()
}

async fn the_jobs_of_a_file(d: Deployment) {
    let folder = tempfile::tempdir().expect("a folder");
    // More than one call takes; the one that all wait for comes last.
    let mut jobs: Vec<Value> = (0..1_200)
        .map(|n| after(&format!("j{n}"), "gate"))
        .collect();
    jobs.push(after("gate", "never"));
    let file = written(folder.path(), &jobs);
    let printed = done(&d, &["submit-all", &file]).await;
    let names: Vec<&str> = printed.lines().collect();
    assert_eq!(names.len(), 1_201);
    assert_eq!(names.first(), Some(&"partitions/default/jobs/j0"));
    assert_eq!(names.last(), Some(&"partitions/default/jobs/gate"));
    // What is there already, as it is written, is no other job.
    assert_eq!(done(&d, &["submit-all", &file]).await, printed);

    let counted = done(&d, &["count"]).await;
    let rows: Vec<Vec<&str>> = counted
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows,
        [["STATE", "JOBS"], ["WAITING", "1,201"], ["all", "1,201"]]
    );
    let one = ["count", "--filter", "id = gate", "-o", "json"];
    let one: Value = serde_json::from_str(&done(&d, &one).await).expect("JSON");
    assert_eq!(
        one,
        json!({"counts": [{"state": "JOB_STATE_WAITING", "jobCount": "1"}]})
    );
    let none = done(&d, &["count", "--filter", "labels.team = red"]).await;
    assert_eq!(none, "no jobs in partition default match\n");

    // One that is refused has its sentence; the others are made.
    let clash = json!({"job_id": "gate", "spec": {"task": {"pipe": "other", "type": "number"}}});
    let file = written(
        folder.path(),
        &[after("k0", "gate"), clash, after("k1", "k0")],
    );
    let (status, printed, said) = headway(&d, &["submit-all", &file]).await;
    assert_eq!(status, ExitStatus::Failed);
    assert_eq!(
        printed,
        "partitions/default/jobs/k0\npartitions/default/jobs/k1\n"
    );
    assert!(
        said.starts_with("error: job 2, gate was not accepted: "),
        "{said}"
    );
    assert!(
        said.contains("(JOB_EXISTS)\n1 of 3 jobs were not accepted\n"),
        "{said}"
    );
    let (status, printed, _) = headway(&d, &["submit-all", &file, "-o", "json"]).await;
    assert_eq!(status, ExitStatus::Failed);
    let reasons: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|result| result["error"]["details"][0]["reason"].clone())
        .collect();
    assert_eq!(reasons, [Value::Null, json!("JOB_EXISTS"), Value::Null]);

    // What cannot be read makes no job at all.
    let wrong = json!({"task": {"pipe": "work", "typ": "number"}});
    let file = written(folder.path(), &[after("l0", "gate"), wrong]);
    let (status, _, said) = headway(&d, &["submit-all", &file]).await;
    assert_eq!(status, ExitStatus::Usage);
    assert!(said.contains("job 2: task.typ: unknown field"), "{said}");
    let none = done(&d, &["count", "--filter", "id = l0"]).await;
    assert_eq!(none, "no jobs in partition default match\n");
}

async fn plan(d: &Deployment) -> Schedule {
    let name = schedule_name("default", "plan");
    d.client().get_schedule(&name).await.expect("is there")
}

async fn a_schedule_is_changed(d: Deployment) {
    let create = "schedule create plan --cron @yearly --time-zone Asia/Tokyo --priority 7 --pipe work --type number --payload 1";
    done(&d, &create.split(' ').collect::<Vec<_>>()).await;
    let before = plan(&d).await;
    let update = "schedule update plan --overlap queue --catch-up 10m --payload 2";
    done(&d, &update.split(' ').collect::<Vec<_>>()).await;
    let after = plan(&d).await;
    assert_eq!(
        (after.cron.as_str(), after.time_zone.as_str()),
        ("@yearly", "Asia/Tokyo")
    );
    assert_eq!(after.next_run_time, before.next_run_time);
    assert_eq!(
        after.catch_up_window.map(|window| window.seconds),
        Some(600)
    );
    let job = after.spec.clone().expect("a job");
    assert_eq!(job.priority, Some(7));
    let Some(Work::Task(task)) = &job.work else {
        panic!("still a task: {job:?}")
    };
    assert_eq!(
        (task.pipe.as_str(), task.payload.as_slice()),
        ("work", &b"2"[..])
    );

    // Its next time is never that of `@yearly`. In December, the next time of `@monthly` is.
    let cron = "30 4 29 2 *";
    done(&d, &["schedule", "update", "plan", "--cron", cron]).await;
    let leap = plan(&d).await;
    assert_eq!((leap.cron.as_str(), &leap.spec), (cron, &after.spec));
    assert_ne!(leap.next_run_time, before.next_run_time);

    let (status, _, said) = headway(&d, &["schedule", "update", "plan", "--cron", "soon"]).await;
    assert_eq!(status, ExitStatus::Usage);
    assert!(
        said.contains("schedule plan could not be changed"),
        "{said}"
    );
    let (status, _, said) = headway(&d, &["schedule", "update", "none", "--cron", "@daily"]).await;
    assert_eq!(status, ExitStatus::Failed);
    assert!(
        said.contains("schedule none could not be changed"),
        "{said}"
    );
    assert_eq!(plan(&d).await, leap);
}

async fn suspended_partitions_are_listed(d: Deployment) {
    let list = ["partition", "list-suspended"];
    assert_eq!(done(&d, &list).await, "no partition is suspended\n");
    for partition in ["b", "a"] {
        done(
            &d,
            &["-p", partition, "--user", "ann", "partition", "suspend"],
        )
        .await;
    }
    let listed = done(&d, &list).await;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    for (line, name) in lines.iter().zip(["partitions/a", "partitions/b"]) {
        assert!(
            line.starts_with(&format!("{name} is suspended since ")),
            "{line}"
        );
        assert!(line.ends_with(", by ann"), "{line}");
    }
    for partition in ["a", "b"] {
        done(&d, &["-p", partition, "partition", "resume"]).await;
    }
    assert_eq!(done(&d, &list).await, "no partition is suspended\n");
}
