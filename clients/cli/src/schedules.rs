//! The commands about schedules.

use futures::TryStreamExt;
use headway::v1::{
    CreateScheduleRequest, ListSchedulesResponse, Schedule, schedule::OverlapPolicy,
};
use headway_client::{SCHEDULE_PATHS, schedule_name};

use crate::{
    Console,
    args::{ScheduleArgs, ScheduleCommand},
    failure::{ExitStatus, Failure},
    jobs::{submit, view},
    output::{
        document::print,
        human::{clean, count, time},
        table::{Column, render},
    },
    remote::Remote,
    settings::Settings,
};

/// Does what a command says.
pub(crate) async fn run(
    command: ScheduleCommand,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let named = |id: &str| schedule_name(&settings.partition, id);
    let (id, name) = match &command {
        ScheduleCommand::Ls => return list(settings, console).await,
        ScheduleCommand::Create {
            schedule_id: id,
            cron,
            schedule,
        } => {
            return create(id, cron, schedule, settings, console).await;
        }
        ScheduleCommand::Update {
            schedule_id: id,
            cron,
            schedule,
        } => {
            return update(id, cron.as_deref(), schedule, settings, console).await;
        }
        ScheduleCommand::Get { id }
        | ScheduleCommand::Pause { id }
        | ScheduleCommand::Resume { id }
        | ScheduleCommand::Run { id }
        | ScheduleCommand::Rm { id } => (id.clone(), named(id)),
    };
    let remote = Remote::connect(settings).await?;
    let client = &remote.client;
    let what = |done: &str| format!("schedule {id} could not be {done}");
    let schedule = match command {
        ScheduleCommand::Pause { .. } => (client.pause_schedule(&name).await, "paused"),
        ScheduleCommand::Resume { .. } => (client.resume_schedule(&name).await, "resumed"),
        ScheduleCommand::Run { .. } => {
            let job = client.run_schedule(&name).await;
            let job = job.map_err(|error| remote.failure(what("run"), error))?;
            print(console, remote.settings.format, &job, |_| {
                view::line(&job, &remote.settings.partition) + "\n"
            })?;
            return Ok(ExitStatus::Completed);
        }
        ScheduleCommand::Rm { .. } => {
            let gone = client.delete_schedule(&name).await;
            gone.map_err(|error| remote.failure(what("deleted"), error))?;
            console.line(&format!("deleted {name}"))?;
            return Ok(ExitStatus::Completed);
        }
        ScheduleCommand::Ls
        | ScheduleCommand::Create { .. }
        | ScheduleCommand::Update { .. }
        | ScheduleCommand::Get { .. } => (client.get_schedule(&name).await, "read"),
    };
    let (schedule, done) = schedule;
    let schedule = schedule.map_err(|error| remote.failure(what(done), error))?;
    show(&schedule, &remote, console)
}

fn show(
    schedule: &Schedule,
    remote: &Remote,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    print(console, remote.settings.format, schedule, |console| {
        table(std::slice::from_ref(schedule), console)
    })?;
    Ok(ExitStatus::Completed)
}

async fn create(
    id: &str,
    cron: &str,
    args: &ScheduleArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let job = submit::request(&args.job, &settings)?;
    let mut schedule = Schedule {
        cron: cron.to_owned(),
        spec: job.spec,
        ..Schedule::default()
    };
    apply(args, &mut schedule);
    let request = CreateScheduleRequest {
        parent: job.parent,
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
        ..CreateScheduleRequest::default()
    };
    let remote = Remote::connect(settings).await?;
    let schedule = remote.client.create_schedule(request).await;
    let schedule =
        schedule.map_err(|error| remote.failure("the schedule was not accepted", error))?;
    show(&schedule, &remote, console)
}

/// Puts what is said upon what the schedule has.
async fn update(
    id: &str,
    cron: Option<&str>,
    args: &ScheduleArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let remote = Remote::connect(settings).await?;
    let refused = |error| remote.failure(format!("schedule {id} could not be changed"), error);
    let name = schedule_name(&remote.settings.partition, id);
    let mut schedule = remote.client.get_schedule(&name).await.map_err(refused)?;
    if let Some(cron) = cron {
        schedule.cron = cron.to_owned();
    }
    apply(args, &mut schedule);
    let spec = schedule.spec.unwrap_or_default();
    schedule.spec = submit::changed(&args.job, spec, &remote.settings)?.spec;
    let schedule = remote
        .client
        .update_schedule(schedule, &SCHEDULE_PATHS)
        .await;
    show(&schedule.map_err(refused)?, &remote, console)
}

/// Sets what is said but for the pattern and the job.
fn apply(args: &ScheduleArgs, schedule: &mut Schedule) {
    if let Some(zone) = &args.time_zone {
        schedule.time_zone.clone_from(zone);
    }
    if let Some(overlap) = args.overlap {
        schedule.set_overlap(OverlapPolicy::from(overlap));
    }
    if let Some(window) = args.catch_up {
        schedule.catch_up_window = Some(submit::wire(window));
    }
}

async fn list(settings: Settings, console: &mut Console) -> Result<ExitStatus, Failure> {
    let remote = Remote::connect(settings).await?;
    let schedules = remote.client.schedules(&remote.settings.partition);
    let schedules: Result<Vec<_>, _> = schedules.try_collect().await;
    let response = ListSchedulesResponse {
        schedules: schedules.map_err(|error| remote.failure("cannot list the schedules", error))?,
        next_page_token: String::new(),
    };
    print(console, remote.settings.format, &response, |console| {
        table(&response.schedules, console)
    })?;
    Ok(ExitStatus::Completed)
}

fn table(schedules: &[Schedule], console: &Console) -> String {
    const COLUMNS: [Column; 7] = [
        Column::left("SCHEDULE", 9),
        Column::text("CRON", 8),
        Column::text("ZONE", 3),
        Column::left("NEXT", 7),
        Column::text("LAST JOB", 5),
        Column::right("MADE", 4),
        Column::right("SKIPPED", 2),
    ];
    let last = |name: &str| clean(name.rsplit('/').next().unwrap_or_default());
    let rows = schedules.iter().map(|schedule| {
        vec![
            last(&schedule.name),
            clean(&schedule.cron),
            clean(&schedule.time_zone),
            match (schedule.problem.is_empty(), schedule.paused) {
                (false, _) => "unreadable".to_owned(),
                (true, true) => "paused".to_owned(),
                (true, false) => time(schedule.next_run_time.as_ref(), console.time_zone()),
            },
            last(&schedule.last_job),
            count(schedule.job_count),
            count(schedule.skip_count),
        ]
    });
    match schedules {
        [] => "no schedules\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}
