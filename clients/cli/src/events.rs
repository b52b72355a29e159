//! The command that shows and follows the audit log.

use futures::{StreamExt, TryStreamExt};
use headway::v1::{
    AuditEvent, EventKind, ListEventsRequest, ListEventsResponse, WatchEventsRequest,
};
use headway_client::partition_name;
use jiff::tz::TimeZone;

use crate::{
    Console,
    args::EventsArgs,
    failure::{ExitStatus, Failure},
    jobs::view::label,
    output::{
        document::{self, layout, print},
        human::{clean, count, time},
        table::{Column, render},
    },
    remote::Remote,
    settings::Settings,
};

/// Events per page.
const PER_PAGE: i32 = 500;

/// Prints the audit log of the partition or of a job, and what follows if that is asked for.
pub(crate) async fn events(
    args: &EventsArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let parent = match &args.job {
        Some(job) => Remote::name(job, &settings)?.to_string(),
        None => partition_name(&settings.partition)?,
    };
    let remote = Remote::connect(settings).await?;
    if args.follow {
        return follow_events(args, parent, &remote, console).await;
    }
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    let listed = remote.client.events(ListEventsRequest {
        parent,
        page_size: PER_PAGE,
        after: args.after.clone().unwrap_or_default(),
        kinds: args.kind.iter().map(|kind| (*kind).into()).collect(),
        ..ListEventsRequest::default()
    });
    let listed = listed.take(limit.unwrap_or(usize::MAX)).try_collect().await;
    let events: Vec<_> = listed.map_err(|error| remote.failure("cannot list the events", error))?;
    let response = ListEventsResponse {
        events,
        ..ListEventsResponse::default()
    };
    let format = remote.settings.format;
    print(console, format, &response, |console| {
        table(&response.events, &remote.settings.partition, console)
    })?;
    Ok(ExitStatus::Completed)
}

async fn follow_events(
    args: &EventsArgs,
    parent: String,
    remote: &Remote,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let mut watch = remote.client.watch_events(WatchEventsRequest {
        parent,
        resume_token: args.after.clone().unwrap_or_default(),
        kinds: args.kind.iter().map(|kind| (*kind).into()).collect(),
        ..WatchEventsRequest::default()
    });
    let mut left = args.limit.unwrap_or(u32::MAX);
    while left > 0 {
        let Some(event) = watch.next().await else {
            break;
        };
        let event =
            event.map_err(|error| remote.failure("the events cannot be followed", error))?;
        match layout(remote.settings.format) {
            None => {
                let zone = console.time_zone().clone();
                let line = line(&event, &remote.settings.partition, &zone);
                console.line(&line)?;
            }
            Some(layout) => console.text(&document::render(&event, layout)?)?,
        }
        left -= 1;
    }
    Ok(ExitStatus::Completed)
}

/// What happened, in small letters.
fn what(event: &AuditEvent) -> &'static str {
    match event.kind() {
        EventKind::Unspecified => {
            "changed in a way that this version of the command line does not know"
        }
        EventKind::JobCreated => "created",
        EventKind::JobStarted => "started",
        EventKind::JobPaused => "paused",
        EventKind::JobResumed => "resumed",
        EventKind::JobCancelled => "cancelled",
        EventKind::JobRetried => "retried",
        EventKind::JobBatchSplit => "batch split",
        EventKind::JobFailureRecorded => "failures recorded",
        EventKind::JobCompleted => "completed",
        EventKind::JobFailed => "failed",
        EventKind::JobSettled => "settled",
        EventKind::JobDeleted => "deleted",
        EventKind::JobUpdated => "updated",
        EventKind::ScheduleCreated => "schedule created",
        EventKind::ScheduleUpdated => "schedule updated",
        EventKind::SchedulePaused => "schedule paused",
        EventKind::ScheduleResumed => "schedule resumed",
        EventKind::ScheduleDeleted => "schedule deleted",
        EventKind::PartitionUpdated => "partition updated",
        EventKind::PartitionSuspended => "partition suspended",
        EventKind::PartitionResumed => "partition resumed",
        EventKind::DeadLettersDropped => "dead letters dropped",
        EventKind::PipeLimitsUpdated => "pipe limits set",
        EventKind::JobTypeCreated => "job type created",
        EventKind::JobTypeUpdated => "job type updated",
        EventKind::JobTypeDeleted => "job type deleted",
    }
}

/// How many it is about, whose batch, and the event's own words.
fn more(event: &AuditEvent) -> String {
    let mut parts = Vec::new();
    if !event.batch.is_empty() {
        let number = event.batch.rsplit('/').next().unwrap_or_default();
        parts.push(format!("batch {}", clean(number)));
    }
    if event.item_count > 0 {
        let noun = match event.kind() {
            EventKind::JobFailureRecorded if event.item_count == 1 => "failure",
            EventKind::JobFailureRecorded => "failures",
            _ if event.item_count == 1 => "item",
            _ => "items",
        };
        parts.push(format!("{} {noun}", count(event.item_count)));
    }
    if !event.message.is_empty() {
        parts.push(clean(&event.message));
    }
    parts.join(", ")
}

/// What an event is about: a job, or something else by its name.
fn about(event: &AuditEvent, partition: &str) -> String {
    match event.job.is_empty() {
        true => clean(&event.subject),
        false => label(&event.job, partition),
    }
}

/// One line about an event: `2026-03-01 12:00:00 j paused by ada`.
fn line(event: &AuditEvent, partition: &str, zone: &TimeZone) -> String {
    let mut line = format!(
        "{} {} {}",
        time(event.event_time.as_ref(), zone),
        about(event, partition),
        what(event)
    );
    if !event.done_by.is_empty() {
        line.push_str(&format!(" by {}", clean(&event.done_by)));
    }
    let more = more(event);
    if !more.is_empty() {
        line.push_str(&format!(": {more}"));
    }
    line
}

/// A table of events.
fn table(events: &[AuditEvent], partition: &str, console: &Console) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("TIME", 8),
        Column::text("ABOUT", 9),
        Column::left("EVENT", 9),
        Column::text("BY", 5),
        Column::text("CORRELATION", 2),
        Column::text("MORE", 7),
    ];
    let rows = events.iter().map(|event| {
        vec![
            time(event.event_time.as_ref(), console.time_zone()),
            about(event, partition),
            what(event).to_owned(),
            clean(&event.done_by),
            clean(&event.correlation_id),
            more(event),
        ]
    });
    match events {
        [] => "no events\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}
