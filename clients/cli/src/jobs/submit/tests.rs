//! Tests of the way from a job file and flags to a request.

use std::{fs, io};

use clap::Parser;
use headway::v1::{
    BatchSpec, TaskSpec,
    batch_spec::{Definition, ParametersForm},
    item_template::PayloadForm,
    job_spec::Work,
};
use serde_json::json;

use super::*;
use crate::args::{Cli, Command, ScheduleCommand};

/// The request of a command line, with `-p` taken from its flags.
fn submit(arguments: &[&str]) -> Result<CreateJobRequest, String> {
    let line = ["headway", "submit"].iter().chain(arguments);
    let cli = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
    let console = crate::Console::captured(io::sink(), io::sink());
    let settings = Settings::load(&cli.global, &console).map_err(|error| error.to_string())?;
    match cli.command {
        Command::Submit { job, .. } => request(&job, &settings).map_err(|error| error.to_string()),
        _ => Err("not a submit".to_owned()),
    }
}

fn task(request: CreateJobRequest) -> TaskSpec {
    match request.spec.and_then(|spec| spec.work) {
        Some(Work::Task(task)) => task,
        other => panic!("not a task: {other:?}"),
    }
}

fn batch(request: CreateJobRequest) -> BatchSpec {
    match request.spec.and_then(|spec| spec.work) {
        Some(Work::Batch(batch)) => batch,
        other => panic!("not a batch: {other:?}"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), text).expect("a written file");
    file
}

#[test]
fn a_task_by_flags() -> Result<(), String> {
    let request = submit(&[
        "--id",
        "j",
        "--pipe",
        "mail",
        "--type",
        "send",
        "--payload",
        "hi",
        "--content-type",
        "text/plain",
        "--header",
        "a=b",
        "--label",
        "team=docs",
        "--max-attempts",
        "2",
        "--item-timeout",
        "90s",
        "--max-failed-percent",
        "2.5",
        "--on-exceeded",
        "stop",
        "-p",
        "x",
    ])?;
    assert_eq!(
        (request.parent.as_str(), request.job_id.as_str()),
        ("partitions/x", "j")
    );
    let spec = request.spec.clone().unwrap_or_default();
    assert_eq!(spec.labels["team"], "docs");
    assert_eq!(spec.item_timeout.map(|limit| limit.seconds), Some(90));
    assert_eq!(spec.retry_policy.map(|policy| policy.max_attempts), Some(2));
    assert_eq!(
        spec.failure_policy.and_then(|policy| policy.tolerance),
        Some(Tolerance::MaxFailedPercentage(2.5))
    );
    let task = task(request);
    assert_eq!((task.pipe.as_str(), task.r#type.as_str()), ("mail", "send"));
    assert_eq!(
        (task.payload.as_slice(), task.content_type.as_str()),
        (b"hi".as_slice(), "text/plain")
    );
    assert_eq!(task.headers["a"], "b");
    Ok(())
}

#[test]
fn a_batch_by_flags_and_files() -> Result<(), String> {
    let absent = [
        "--splitter",
        "files",
        "--pipe",
        "p",
        "--definition",
        "@/nowhere/definition.json",
    ];
    let error = submit(&absent).expect_err("a file that is not there");
    assert!(error.contains("/nowhere/definition.json"), "{error}");
    let definition = file(r#"{"root": "/srv"}"#);
    let argument = format!("@{}", definition.path().display());
    let batch = batch(submit(&[
        "--splitter",
        "files",
        "--pipe",
        "export",
        "--definition",
        &argument,
        "--parameters",
        r#"{"level": 6}"#,
        "--item-payload",
        r#""{{item}}""#,
    ])?);
    let definition = Definition::JsonText(json!({"root": "/srv"}).to_string());
    assert_eq!(batch.definition, Some(definition));
    let item = batch.item.unwrap_or_default();
    assert_eq!(item.pipe, "export");
    let payload = PayloadForm::PayloadJsonText(json!("{{item}}").to_string());
    assert_eq!(item.payload_form, Some(payload));
    let parameters = ParametersForm::ParametersJsonText(json!({"level": 6}).to_string());
    assert_eq!(batch.parameters_form, Some(parameters));
    Ok(())
}

#[test]
fn large_integers_are_carried_exactly() -> Result<(), String> {
    let arguments = ["--splitter", "list", "--pipe", "p"];
    let request = submit(&[&arguments[..], &["--definition", "[9007199254740993]"]].concat())?;
    let definition = Definition::JsonText("[9007199254740993]".to_owned());
    assert_eq!(batch(request).definition, Some(definition));
    Ok(())
}

#[test]
fn flags_override_the_file() -> Result<(), String> {
    let job = file(
        "parent: partitions/of-file\njob_id: of-file\nspec:\n  display_name: of-file\n  labels: {a: file, b: file}\n  batch: {splitter: list, item: {pipe: p, type: of-file}}\n",
    );
    let path = job.path().display().to_string();
    let plain = submit(&["-f", &path])?;
    assert_eq!(
        (plain.parent.as_str(), plain.job_id.as_str()),
        ("partitions/of-file", "of-file")
    );
    let request = submit(&[
        "-f",
        &path,
        "-p",
        "flag",
        "--id",
        "flag",
        "--label",
        "a=flag",
        "--type",
        "flag",
        "--definition",
        "[1]",
    ])?;
    assert_eq!(
        (request.parent.as_str(), request.job_id.as_str()),
        ("partitions/flag", "flag")
    );
    let spec = request.spec.clone().unwrap_or_default();
    assert_eq!(
        (
            spec.display_name.as_str(),
            spec.labels["a"].as_str(),
            spec.labels["b"].as_str()
        ),
        ("of-file", "flag", "file")
    );
    let batch = batch(request);
    assert_eq!(batch.splitter, "list");
    assert!(batch.definition.is_some());
    let item = batch.item.unwrap_or_default();
    assert_eq!((item.pipe.as_str(), item.r#type.as_str()), ("p", "flag"));
    Ok(())
}

#[test]
fn what_does_not_fit_is_usage() {
    let job = file("task: {pipe: p}");
    let path = job.path().display().to_string();
    let with_file = |flag, value| vec!["-f", path.as_str(), flag, value];
    for (arguments, why) in [
        (vec![], "nothing to do"),
        (vec!["--type", "t"], "no pipe"),
        (vec!["--splitter", "list", "--definition", "[]"], "no pipe"),
        (vec!["--definition", "[]"], "--definition needs --splitter"),
        (
            vec!["--splitter", "list", "--payload", "x"],
            "--payload is for a task, --splitter for a batch",
        ),
        (
            vec!["--splitter", "list", "--pipe", "p", "--definition", "{"],
            "--definition is not JSON",
        ),
        (
            vec!["--splitter", "list", "--pipe", "p", "--parameters", "[]"],
            "a JSON object is needed",
        ),
        (
            vec!["--pipe", "p", "--payload", "x", "--payload-file", "y"],
            "cannot be used with",
        ),
        (vec!["--pipe", "p", "--label", "x"], "KEY=VALUE"),
        (vec!["--pipe", "p", "-p", "a/b"], "partition id"),
        (vec!["-f", "/nowhere/job.yaml"], "/nowhere/job.yaml"),
        (
            with_file("--splitter", "list"),
            "does not fit the job file's task",
        ),
    ] {
        let error = submit(&arguments).expect_err(why);
        assert!(error.contains(why), "{arguments:?}: {error}");
    }
}

#[test]
fn a_bad_file_is_named_with_its_field() {
    let job = file("task: {pip: p}");
    let path = job.path().display().to_string();
    let error = submit(&["-f", &path]).expect_err("a bad field");
    assert!(
        error.contains(&path) && error.contains("task.pip: unknown field"),
        "{error}"
    );
}

#[test]
fn a_task_of_the_file_takes_a_payload() -> Result<(), String> {
    let job = file("task: {pipe: p, type: t}");
    let payload = file("bytes");
    let paths = [&job, &payload].map(|file| file.path().display().to_string());
    let task = task(submit(&["-f", &paths[0], "--payload-file", &paths[1]])?);
    assert_eq!(
        (task.pipe.as_str(), task.payload.as_slice()),
        ("p", b"bytes".as_slice())
    );
    Ok(())
}

/// What a schedule's job becomes by the flags.
fn change(before: JobSpec, arguments: &[&str]) -> Result<JobSpec, String> {
    let line = ["headway", "schedule", "update", "plan"].iter();
    let cli = Cli::try_parse_from(line.chain(arguments)).map_err(|error| error.to_string())?;
    let console = crate::Console::captured(io::sink(), io::sink());
    let settings = Settings::load(&cli.global, &console).map_err(|error| error.to_string())?;
    let Command::Schedule(ScheduleCommand::Update { schedule, .. }) = cli.command else {
        return Err("not an update".to_owned());
    };
    let changed = changed(&schedule.job, before, &settings).map_err(|error| error.to_string())?;
    Ok(changed.spec.unwrap_or_default())
}

#[test]
fn flags_are_put_upon_the_job_of_a_schedule() -> Result<(), String> {
    let before = submit(&[
        "--splitter",
        "range",
        "--definition",
        "5",
        "--pipe",
        "work",
        "--type",
        "n",
        "--label",
        "a=b",
    ])?;
    let before = before.spec.unwrap_or_default();
    assert_eq!(change(before.clone(), &[])?, before);
    let next = change(before.clone(), &["--definition", "6", "--label", "c=d"])?;
    assert_eq!(next.labels.len(), 2);
    let Some(Work::Batch(batch)) = next.work else {
        panic!("still a batch")
    };
    assert_eq!(batch.splitter, "range");
    assert_eq!(
        batch.definition,
        Some(Definition::JsonText(json!(6).to_string()))
    );
    let text = file("task: {pipe: mail, type: send}");
    let next = change(before.clone(), &["-f", &text.path().to_string_lossy()])?;
    assert!(matches!(next.work, Some(Work::Task(_))) && next.labels.is_empty());
    assert!(change(before, &["--payload", "x"]).is_err());
    Ok(())
}

#[test]
fn a_job_type_takes_other_parameters_or_gives_way() -> Result<(), String> {
    let before = submit(&["--job-type", "export", "--parameters", "{\"a\": 1}"])?;
    let mut before = before.spec.unwrap_or_default();
    // As the server tells it: with what the type made.
    before.work = Some(Work::Task(TaskSpec::default()));
    let next = change(
        before.clone(),
        &["--parameters", "{\"a\": 2}", "--priority", "1"],
    )?;
    assert_eq!((next.work, next.priority), (None, Some(1)));
    let used = next.job_type.unwrap_or_default();
    assert_eq!(used.job_type, "jobTypes/export");
    assert_ne!(Some(used), before.job_type);
    let next = change(before.clone(), &["--pipe", "mail", "--type", "send"])?;
    assert!(matches!(next.work, Some(Work::Task(_))) && next.job_type.is_none());
    let task = submit(&["--pipe", "mail", "--type", "send"])?
        .spec
        .unwrap_or_default();
    let next = change(task, &["--job-type", "export"])?;
    assert!(next.work.is_none() && next.job_type.is_some());
    Ok(())
}

#[test]
fn a_mark_before_the_text_is_skipped() -> Result<(), String> {
    let job = file("\u{feff}task: {pipe: mail}\n");
    let path = job.path().display().to_string();
    assert_eq!(task(submit(&["-f", &path])?).pipe, "mail");
    // A file of many jobs is known by its first character.
    let many = file("\u{feff}{}\n{}\n");
    assert_eq!(text(many.path()).expect("a text"), "{}\n{}\n");
    let definition = file("\u{feff}{\"root\": \"/srv\"}");
    let argument = format!("@{}", definition.path().display());
    submit(&[
        "--splitter",
        "files",
        "--pipe",
        "p",
        "--definition",
        &argument,
    ])?;
    Ok(())
}

#[test]
fn an_empty_id_is_refused() {
    let error = submit(&["--id", "", "--pipe", "mail"]).expect_err("an empty id");
    assert!(error.contains("--id is empty"), "{error}");
}
