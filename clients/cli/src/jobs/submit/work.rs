//! The work of a job by flags: a task, a batch, or a job type that makes one.

use headway::v1::{
    BatchSpec, ItemTemplate, JobSpec, JobTypeUse, TaskSpec,
    batch_spec::{self, Definition},
    item_template::PayloadForm,
    job_spec::Work,
    job_type_use,
};
use headway_client::job_type_name;
use serde_json::Value as Json;

use super::set;
use crate::{
    args::SubmitArgs,
    failure::Failure,
    input::{json, read},
};

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
    used.job_type = job_type_name(id);
    apply_parameters(args, used)
}

fn apply_parameters(args: &SubmitArgs, used: &mut JobTypeUse) -> Result<(), Failure> {
    if let Some(text) = &args.parameters {
        let form = job_type_use::ParametersForm::ParametersJsonText(object(text)?);
        used.parameters_form = Some(form);
    }
    Ok(())
}

pub(crate) fn apply_work(args: &SubmitArgs, spec: &mut JobSpec) -> Result<(), Failure> {
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
