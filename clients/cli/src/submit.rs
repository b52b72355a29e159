//! From a job file and flags to a request.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use headway::v1::{
    BatchSpec, CreateJobRequest, ItemTemplate, JobSpec, JobTypeUse, Prerequisite, Retention,
    TaskSpec,
    batch_spec::{self, Definition},
    failure_policy::Tolerance,
    item_template::PayloadForm,
    job_spec::{Deadline, Start, Work},
    job_type_use,
};
use headway_client::{job_type_name, partition_name};
use serde_json::Value as Json;

use crate::{
    args::{OnExceededArg, RetentionState, SubmitArgs, UpdateArgs},
    failure::Failure,
    job_file,
    settings::Settings,
};

/// What some editors put before a text in UTF-8.
const MARK: char = '\u{feff}';

/// The request that the arguments ask for: the job file's, overridden by flags.
pub fn request(args: &SubmitArgs, settings: &Settings) -> Result<CreateJobRequest, Failure> {
    changed(args, JobSpec::default(), settings)
}

/// As [`request`], of a job that is changed: the job file replaces it, flags are put upon it.
pub fn changed(
    args: &SubmitArgs,
    mut before: JobSpec,
    settings: &Settings,
) -> Result<CreateJobRequest, Failure> {
    if before.job_type.is_some() {
        // What a type made is made again.
        before.work = None;
    }
    let mut request = match &args.file {
        Some(path) => job_file::parse(&text(path)?).map_err(|error| bad_file(path, &error))?,
        None => CreateJobRequest {
            spec: Some(before),
            ..CreateJobRequest::default()
        },
    };
    if request.parent.is_empty() || settings.partition_by_flag {
        request.parent = partition_name(&settings.partition)?;
    }
    if args.id.as_deref() == Some("") {
        return Err(Failure::usage("--id is empty").hint("leave it out for a random id"));
    }
    set(&mut request.job_id, &args.id);
    let spec = request.spec.get_or_insert_default();
    apply_work(args, spec)?;
    apply_options(args, spec);
    complete_names(spec, &request.parent);
    Ok(request)
}

/// Completes prerequisites that are named by their id alone.
pub fn complete_names(spec: &mut JobSpec, parent: &str) {
    for prerequisite in &mut spec.prerequisites {
        if !prerequisite.job.contains('/') {
            prerequisite.job = format!("{parent}/jobs/{}", prerequisite.job);
        }
    }
}

/// The text of a job file.
pub fn text(path: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| Failure::usage(format!("job file {} is not UTF-8", path.display())))?;
    Ok(text.trim_start_matches(MARK).to_owned())
}

/// What is wrong with a job file.
pub fn bad_file(path: &Path, error: &str) -> Failure {
    Failure::usage(format!("job file {}: {error}", path.display()))
        .hint("a job file has the fields of a JobSpec, in snake_case or camelCase")
}

fn apply_options(args: &SubmitArgs, spec: &mut JobSpec) {
    set(&mut spec.display_name, &args.display_name);
    set(&mut spec.description, &args.description);
    set(&mut spec.result_pipe, &args.result_pipe);
    set(&mut spec.max_in_flight, &args.max_in_flight);
    spec.priority = args.priority.or(spec.priority);
    set(&mut spec.items_per_message, &args.items_per_message);
    spec.labels.extend(args.label.iter().cloned());
    apply_policy(
        args.max_failed,
        args.max_failed_percent,
        args.on_exceeded,
        spec,
    );
    if let Some(attempts) = args.max_attempts {
        spec.retry_policy.get_or_insert_default().max_attempts = attempts;
    }
    if let Some(limit) = args.item_timeout {
        spec.item_timeout = Some(wire(limit));
    }
    apply_times(args, spec);
}

/// Sets what is to be changed of a job, and names the fields.
pub fn apply_changes(args: &UpdateArgs, spec: &mut JobSpec) -> Vec<&'static str> {
    let mut paths = Vec::new();
    if args.no_labels {
        spec.labels.clear();
    }
    if args.no_labels || !args.label.is_empty() {
        spec.labels.extend(args.label.iter().cloned());
        paths.push("spec.labels");
    }
    if args.description.is_some() {
        set(&mut spec.description, &args.description);
        paths.push("spec.description");
    }
    if args.priority.is_some() {
        spec.priority = args.priority;
        paths.push("spec.priority");
    }
    if args.max_in_flight.is_some() {
        set(&mut spec.max_in_flight, &args.max_in_flight);
        paths.push("spec.max_in_flight");
    }
    let policy = (args.max_failed, args.max_failed_percent, args.on_exceeded);
    if policy != (None, None, None) {
        apply_policy(policy.0, policy.1, policy.2, spec);
        paths.push("spec.failure_policy");
    }
    if !args.retention.is_empty() {
        apply_retention(&args.retention, spec.retention.get_or_insert_default());
        paths.push("spec.retention");
    }
    paths
}

/// Sets what is said of the failure policy.
pub fn apply_policy(
    items: Option<i64>,
    percent: Option<f64>,
    on_exceeded: Option<OnExceededArg>,
    spec: &mut JobSpec,
) {
    let tolerance = items.map(Tolerance::MaxFailedItems);
    let tolerance = tolerance.or(percent.map(Tolerance::MaxFailedPercentage));
    if tolerance.is_some() {
        spec.failure_policy.get_or_insert_default().tolerance = tolerance;
    }
    if let Some(action) = on_exceeded {
        let policy = spec.failure_policy.get_or_insert_default();
        policy.set_on_exceeded(action.into());
    }
}

fn apply_times(args: &SubmitArgs, spec: &mut JobSpec) {
    let needed = args.after.iter().map(|job| (job, false));
    let optional = args.after_if_exists.iter().map(|job| (job, true));
    for (job, optional) in needed.chain(optional) {
        spec.prerequisites.push(Prerequisite {
            job: job.clone(),
            optional,
            ..Prerequisite::default()
        });
    }
    if let Some(policy) = args.on_prerequisite_failure {
        spec.set_on_prerequisite_failure(policy.into());
    }
    if let Some(delay) = args.delay {
        spec.start = Some(Start::StartDelay(wire(delay)));
    }
    if let Some(time) = args.not_before {
        spec.start = Some(Start::NotBeforeTime(time));
    }
    if !args.retention.is_empty() {
        apply_retention(&args.retention, spec.retention.get_or_insert_default());
    }
    if let Some(limit) = args.max_duration {
        spec.deadline = Some(Deadline::MaxDuration(wire(limit)));
    }
    if let Some(time) = args.deadline {
        spec.deadline = Some(Deadline::DeadlineTime(time));
    }
}

/// Sets what is said of a state, or of all.
pub fn apply_retention(said: &[(Option<RetentionState>, String)], retention: &mut Retention) {
    for (state, expiry) in said {
        let is = |wanted| state.is_none_or(|state| state == wanted);
        if is(RetentionState::Completed) {
            retention.completed.clone_from(expiry);
        }
        if is(RetentionState::Failed) {
            retention.failed.clone_from(expiry);
        }
        if is(RetentionState::Cancelled) {
            retention.cancelled.clone_from(expiry);
        }
    }
}

/// What the wire cannot say is beyond the limit that the server tells.
pub fn wire(time: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(time).unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

/// The first flag that says the work itself.
fn work_flag(args: &SubmitArgs) -> Option<&'static str> {
    first(&[
        ("--pipe", args.pipe.is_some()),
        ("--type", args.kind.is_some()),
        ("--header", !args.header.is_empty()),
        ("--payload", args.payload.is_some()),
        ("--payload-file", args.payload_file.is_some()),
        ("--content-type", args.content_type.is_some()),
        ("--splitter", args.splitter.is_some()),
        ("--definition", args.definition.is_some()),
        ("--item-payload", args.item_payload.is_some()),
    ])
}

/// Names a job type, and its parameters, instead of the work.
fn apply_type(args: &SubmitArgs, id: &str, spec: &mut JobSpec) -> Result<(), Failure> {
    if let Some(flag) = work_flag(args) {
        return Err(Failure::usage(format!("{flag} does not fit --job-type"))
            .hint("the job type makes the work from --parameters"));
    }
    spec.work = None;
    let used = spec.job_type.get_or_insert_default();
    used.r#type = job_type_name(id);
    apply_parameters(args, used)
}

fn apply_parameters(args: &SubmitArgs, used: &mut JobTypeUse) -> Result<(), Failure> {
    if let Some(text) = &args.parameters {
        let form = job_type_use::ParametersForm::ParametersJsonText(object(text)?);
        used.parameters_form = Some(form);
    }
    Ok(())
}

fn apply_work(args: &SubmitArgs, spec: &mut JobSpec) -> Result<(), Failure> {
    if let Some(id) = &args.job_type {
        return apply_type(args, id, spec);
    }
    if let (Some(used), None, None) = (&mut spec.job_type, &spec.work, work_flag(args)) {
        return apply_parameters(args, used);
    }
    if spec.job_type.is_some() && spec.work.is_none() {
        // Work that is said takes the place of the type that made it.
        spec.job_type = None;
    }
    let task_flag = first(&[
        ("--payload", args.payload.is_some()),
        ("--payload-file", args.payload_file.is_some()),
        ("--content-type", args.content_type.is_some()),
    ]);
    let batch_flag = first(&[
        ("--splitter", args.splitter.is_some()),
        ("--definition", args.definition.is_some()),
        ("--parameters", args.parameters.is_some()),
        ("--item-payload", args.item_payload.is_some()),
    ]);
    if let (Some(task), Some(batch)) = (task_flag, batch_flag) {
        return Err(
            Failure::usage(format!("{task} is for a task, {batch} for a batch"))
                .hint("give the items of a batch their payload by --item-payload"),
        );
    }
    let either_flag = args.pipe.is_some() || args.kind.is_some() || !args.header.is_empty();
    match (&mut spec.work, task_flag, batch_flag) {
        (Some(Work::Task(task)), _, None) => apply_task(args, task),
        (Some(Work::Batch(batch)), None, _) => apply_batch(args, batch),
        (Some(Work::Task(_)), _, Some(flag)) => Err(mismatch(flag, "task")),
        (Some(Work::Batch(_)), Some(flag), _) => Err(mismatch(flag, "batch")),
        (None, None, Some(flag)) => {
            if args.splitter.is_none() {
                return Err(Failure::usage(format!("{flag} needs --splitter"))
                    .hint("the built-in splitters are files, lines, json, range and list"));
            }
            let mut batch = BatchSpec::default();
            apply_batch(args, &mut batch)?;
            spec.work = Some(Work::Batch(batch));
            Ok(())
        }
        (None, _, _) if task_flag.is_some() || either_flag => {
            let mut task = TaskSpec::default();
            apply_task(args, &mut task)?;
            spec.work = Some(Work::Task(task));
            Ok(())
        }
        (None, _, _) => Err(Failure::usage("the job has nothing to do")
            .hint("give a job file with -f, or --pipe and --type for a task, or --splitter, --definition, --pipe and --type for a batch")),
    }
}

fn apply_task(args: &SubmitArgs, task: &mut TaskSpec) -> Result<(), Failure> {
    set(&mut task.pipe, &args.pipe);
    set(&mut task.r#type, &args.kind);
    set(&mut task.content_type, &args.content_type);
    task.headers.extend(args.header.iter().cloned());
    if let Some(payload) = &args.payload {
        task.payload = payload.clone().into_bytes();
    }
    if let Some(path) = &args.payload_file {
        task.payload = read(path)?;
    }
    match task.pipe.is_empty() {
        true => Err(Failure::usage("the task has no pipe").hint("add --pipe")),
        false => Ok(()),
    }
}

fn apply_batch(args: &SubmitArgs, batch: &mut BatchSpec) -> Result<(), Failure> {
    set(&mut batch.splitter, &args.splitter);
    if let Some(text) = &args.definition {
        let text = json("--definition", text)?.to_string();
        batch.definition = Some(Definition::JsonText(text));
    }
    if let Some(text) = &args.parameters {
        let form = batch_spec::ParametersForm::ParametersJsonText(object(text)?);
        batch.parameters_form = Some(form);
    }
    let item: &mut ItemTemplate = batch.item.get_or_insert_default();
    set(&mut item.pipe, &args.pipe);
    set(&mut item.r#type, &args.kind);
    item.headers.extend(args.header.iter().cloned());
    if let Some(text) = &args.item_payload {
        let text = json("--item-payload", text)?.to_string();
        item.payload_form = Some(PayloadForm::PayloadJsonText(text));
    }
    match item.pipe.is_empty() {
        true => Err(Failure::usage("the batch's items have no pipe").hint("add --pipe")),
        false => Ok(()),
    }
}

/// The text of the JSON object of `--parameters`.
fn object(text: &str) -> Result<String, Failure> {
    match json("--parameters", text)? {
        object @ Json::Object(_) => Ok(object.to_string()),
        _ => Err(Failure::usage("--parameters: a JSON object is needed")),
    }
}

fn mismatch(flag: &str, kind: &str) -> Failure {
    Failure::usage(format!("{flag} does not fit the job file's {kind}"))
}

/// The first flag that was given.
fn first(flags: &[(&'static str, bool)]) -> Option<&'static str> {
    let given = flags.iter().find(|(_, given)| *given)?;
    Some(given.0)
}

fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

/// JSON from a flag: the text itself, or `@FILE`.
pub fn json(flag: &str, text: &str) -> Result<Json, Failure> {
    let (source, bytes) = match text.strip_prefix('@') {
        Some(path) => (format!("{flag} {path}"), read(Path::new(path))?),
        None => (flag.to_owned(), text.as_bytes().to_vec()),
    };
    let mark = MARK.to_string();
    let bytes = bytes.strip_prefix(mark.as_bytes()).unwrap_or(&bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::usage(format!("{source} is not JSON: {error}")).hint(
            "quote it for the shell, such as --definition '{\"root\": \"/srv\"}', or use @FILE",
        )
    })
}

/// A file's bytes; those of the standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let refuse = |error: io::Error| Failure::usage(format!("file {}: {error}", path.display()));
    if path != Path::new("-") {
        return fs::read(path).map_err(refuse);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(refuse)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "submit_tests.rs"]
mod tests;
