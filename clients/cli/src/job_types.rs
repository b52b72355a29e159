//! The commands about job types.

use std::path::Path;

use futures::TryStreamExt;
use headway::v1::{CreateJobTypeRequest, JobType, ListJobTypesResponse};
use headway_client::job_type_name;
use headway_job_types::{Definition, Evaluator, Fault, Input};

use crate::{
    Console,
    args::TypeCommand,
    failure::{ExitStatus, Failure},
    input,
    output::{
        document::print,
        human::{clean, time},
        table::{Column, render},
    },
    remote::Remote,
    settings::Settings,
};

/// Does what a command says.
pub(crate) async fn run(
    command: TypeCommand,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let (id, answer, done) = match command {
        TypeCommand::Ls => return list(settings, console).await,
        TypeCommand::Test { file, parameters } => {
            return test(&file, &parameters, &settings, console).await;
        }
        TypeCommand::Rm { id } => {
            let remote = Remote::connect(settings).await?;
            let gone = remote.client.delete_job_type(&job_type_name(&id)).await;
            gone.map_err(|error| remote.failure(format!("cannot delete job type {id}"), error))?;
            console.line(&format!("deleted {}", job_type_name(&id)))?;
            return Ok(ExitStatus::Completed);
        }
        TypeCommand::Get { id } => {
            let remote = Remote::connect(settings).await?;
            let answer = remote.client.get_job_type(&job_type_name(&id)).await;
            (id, (remote, answer), "read")
        }
        TypeCommand::Create {
            id,
            file,
            validate_only,
        } => {
            let request = CreateJobTypeRequest {
                job_type_id: id.clone(),
                job_type: Some(JobType {
                    definition: text(&file)?,
                    ..JobType::default()
                }),
                validate_only,
            };
            let remote = Remote::connect(settings).await?;
            let answer = remote.client.create_job_type(request).await;
            (id, (remote, answer), "accepted")
        }
        TypeCommand::Update { id, file, etag } => {
            let job_type = JobType {
                name: job_type_name(&id),
                definition: text(&file)?,
                etag: etag.unwrap_or_default(),
                ..JobType::default()
            };
            let remote = Remote::connect(settings).await?;
            let answer = remote.client.update_job_type(job_type).await;
            (id, (remote, answer), "changed")
        }
    };
    let (remote, answer) = answer;
    let what = format!("job type {id} could not be {done}");
    let found = answer.map_err(|error| remote.failure(what, error))?;
    print(
        console,
        remote.settings.format,
        &found,
        |console| match done {
            "read" => format!(
                "{}{}",
                table(std::slice::from_ref(&found), console),
                found.definition
            ),
            _ => table(std::slice::from_ref(&found), console),
        },
    )?;
    Ok(ExitStatus::Completed)
}

fn text(file: &Path) -> Result<String, Failure> {
    String::from_utf8(input::read(file)?)
        .map_err(|_| Failure::usage(format!("file {} is not UTF-8", file.display())))
}

async fn list(settings: Settings, console: &mut Console) -> Result<ExitStatus, Failure> {
    let remote = Remote::connect(settings).await?;
    let types: Result<Vec<_>, _> = remote.client.job_types().try_collect().await;
    let response = ListJobTypesResponse {
        job_types: types.map_err(|error| remote.failure("cannot list the job types", error))?,
        ..ListJobTypesResponse::default()
    };
    print(
        console,
        remote.settings.format,
        &response,
        |console| match response.job_types.as_slice() {
            [] => "no job types\n".to_owned(),
            types => table(types, console),
        },
    )?;
    Ok(ExitStatus::Completed)
}

fn table(types: &[JobType], console: &Console) -> String {
    const COLUMNS: [Column; 5] = [
        Column::left("TYPE", 9),
        Column::left("VERSION", 8),
        Column::left("CHANGED", 4),
        Column::text("DESCRIPTION", 5),
        Column::text("PROBLEM", 7),
    ];
    let rows = types.iter().map(|found| {
        let changed = match found.from_file {
            true => "file".to_owned(),
            false => time(found.update_time.as_ref(), console.time_zone()),
        };
        vec![
            clean(found.name.rsplit('/').next().unwrap_or_default()),
            clean(&found.version),
            changed,
            clean(&found.description),
            clean(&found.problem),
        ]
    });
    render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns())
}

/// Makes work of parameters, in a process of its own as the server does.
async fn test(
    file: &Path,
    parameters: &str,
    settings: &Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let name = file.file_stem().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let parameters = input::json("--parameters", parameters)?;
    let wrong = |why: String| Failure::usage(format!("{}: {why}", file.display()));
    let definition = Definition::parse(&text(file)?).map_err(|why| wrong(why.0))?;
    let variable = |name: &str| std::env::var(name).ok();
    let configuration = definition.configured(name, variable);
    let input = Input {
        parameters,
        configuration: configuration.map_err(|why| wrong(why.0))?,
        constants: definition.constants.clone(),
        partition: settings.partition.clone(),
    };
    let evaluator = Evaluator::this().map_err(|error| wrong(error.to_string()))?;
    let made = evaluator.build(&definition, input).await;
    let made = made.map_err(|fault| match fault {
        Fault::Parameters(faults) => {
            let faults = faults
                .iter()
                .map(|(pointer, why)| format!("parameters{pointer}: {why}"));
            Failure::usage(faults.collect::<Vec<_>>().join("; "))
        }
        fault => wrong(fault.to_string()),
    })?;
    let text = serde_json::to_string_pretty(&made).map_err(std::io::Error::other)?;
    console.line(&text)?;
    Ok(ExitStatus::Completed)
}
