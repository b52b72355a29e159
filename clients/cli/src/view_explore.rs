//! Events, batches and pipes for people.

use headway::v1::{
    AuditEvent, Batch, BatchState, EventKind, ExplainJobResponse, JobStateCount, Partition, Pipe,
    PipeLimits,
};
use jiff::tz::TimeZone;

use crate::{
    Console,
    human::{clean, count, percentage, rate, time},
    table::{Column, render},
    view::{label, state_name},
};

/// What happened, in small letters.
fn what(event: &AuditEvent) -> &'static str {
    match event.kind() {
        EventKind::Unspecified => {
            "changed in a way that this version of the command line does not know"
        }
        EventKind::Created => "created",
        EventKind::Started => "started",
        EventKind::Paused => "paused",
        EventKind::Resumed => "resumed",
        EventKind::Cancelled => "cancelled",
        EventKind::Retried => "retried",
        EventKind::BatchSplit => "batch split",
        EventKind::FailureRecorded => "failures recorded",
        EventKind::Completed => "completed",
        EventKind::Failed => "failed",
        EventKind::Settled => "settled",
        EventKind::Deleted => "deleted",
        EventKind::Updated => "updated",
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
            EventKind::FailureRecorded if event.item_count == 1 => "failure",
            EventKind::FailureRecorded => "failures",
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
pub fn event_line(event: &AuditEvent, partition: &str, zone: &TimeZone) -> String {
    let mut line = format!(
        "{} {} {}",
        time(event.event_time.as_ref(), zone),
        about(event, partition),
        what(event)
    );
    if !event.actor.is_empty() {
        line.push_str(&format!(" by {}", clean(&event.actor)));
    }
    let more = more(event);
    if !more.is_empty() {
        line.push_str(&format!(": {more}"));
    }
    line
}

/// A table of events.
pub fn events(events: &[AuditEvent], partition: &str, console: &Console) -> String {
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
            clean(&event.actor),
            clean(&event.correlation_id),
            more(event),
        ]
    });
    match events {
        [] => "no events\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}

/// A table of batches.
pub fn batches(batches: &[Batch], console: &Console) -> String {
    const COLUMNS: [Column; 7] = [
        Column::right("BATCH", 9),
        Column::left("STATE", 8),
        Column::right("DONE", 7),
        Column::right("ITEMS", 6),
        Column::right("FAILED", 5),
        Column::right("BATCHES", 3),
        Column::text("ABOUT", 9),
    ];
    let rows = batches.iter().map(|batch| {
        let state = match batch.state() {
            BatchState::Unspecified => "UNKNOWN",
            BatchState::Waiting => "WAITING",
            BatchState::Active => "ACTIVE",
            BatchState::Done => "DONE",
            BatchState::Incomplete => "INCOMPLETE",
        };
        let more = if batch.total_final { "" } else { "+" };
        let share = match batch.items_known {
            0 => 0.0,
            known => batch.items_done as f64 / known as f64 * 100.0,
        };
        vec![
            clean(batch.name.rsplit('/').next().unwrap_or_default()),
            state.to_owned(),
            percentage(share),
            format!(
                "{}/{}{more}",
                count(batch.items_done),
                count(batch.items_known)
            ),
            count(batch.items_failed + batch.split_failures),
            count(batch.batch_count),
            clean(&batch.title),
        ]
    });
    match batches {
        [] => "no batches below it\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}

/// A table of pipes.
pub fn pipes(pipes: &[Pipe], partition: &str, console: &Console) -> String {
    const COLUMNS: [Column; 8] = [
        Column::text("PIPE", 9),
        Column::right("READY", 8),
        Column::right("IN FLIGHT", 8),
        Column::right("PARKED", 3),
        Column::right("DELAYED", 3),
        Column::right("CONSUMERS", 7),
        Column::right("RATE", 5),
        Column::right("DEAD", 4),
    ];
    let rows = pipes.iter().map(|pipe| {
        let known = |number: i64| match pipe.reachable {
            true => count(number),
            false => "?".to_owned(),
        };
        vec![
            clean(pipe.name.rsplit('/').next().unwrap_or_default()),
            known(pipe.messages_ready),
            count(pipe.items_in_flight),
            count(pipe.items_parked),
            count(pipe.items_delayed),
            known(pipe.consumer_count),
            rate(pipe.items_per_second).unwrap_or_default(),
            count(pipe.dead_letter_count),
        ]
    });
    match pipes {
        [] => format!("no job of partition {partition} has used a pipe\n"),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}

/// How many jobs are in each state, and in all.
pub fn counts(counts: &[JobStateCount], partition: &str, console: &Console) -> String {
    const COLUMNS: [Column; 2] = [Column::left("STATE", 9), Column::right("JOBS", 9)];
    let row = |state: &str, jobs: i64| vec![state.to_owned(), count(jobs)];
    let all = counts.iter().map(|state| state.job_count).sum();
    let states = counts
        .iter()
        .map(|counted| row(state_name(counted.state()), counted.job_count));
    match counts {
        [] => format!("no jobs in partition {partition} match\n"),
        _ => render(
            &COLUMNS,
            &states.chain([row("all", all)]).collect::<Vec<_>>(),
            console.columns(),
        ),
    }
}

/// The limits of pipes.
pub fn limits(limits: &[PipeLimits], console: &Console) -> String {
    const COLUMNS: [Column; 3] = [
        Column::text("PIPE", 9),
        Column::right("IN FLIGHT", 8),
        Column::right("PER SECOND", 8),
    ];
    let rows = limits.iter().map(|limits| {
        vec![
            clean(limits.name.split('/').nth(1).unwrap_or_default()),
            match limits.max_in_flight {
                0 => "any".to_owned(),
                most => count(most.into()),
            },
            match limits.max_per_second {
                0.0 => "any".to_owned(),
                most => most.to_string(),
            },
        ]
    });
    match limits {
        [] => "no pipe has limits\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}

/// What a job waits for, a line each.
pub fn explanation(explained: &ExplainJobResponse, partition: &str, console: &Console) -> String {
    let name = label(&explained.name, partition);
    let mut text = format!("{name} {}\n", state_name(explained.state()));
    for reason in &explained.reasons {
        let when = match &reason.reason_time {
            Some(_) => format!(
                " ({})",
                time(reason.reason_time.as_ref(), console.time_zone())
            ),
            None => String::new(),
        };
        text.push_str(&format!("  {}{when}\n", clean(&reason.message)));
    }
    text
}

/// One line about whether a partition is suspended.
pub fn suspension(partition: &Partition, console: &Console) -> String {
    let name = clean(&partition.name);
    match (partition.suspended, partition.suspended_by.as_str()) {
        (false, _) => format!("{name} is not suspended\n"),
        (true, user) => {
            let since = time(partition.suspend_time.as_ref(), console.time_zone());
            let by = match user {
                "" => String::new(),
                user => format!(", by {}", clean(user)),
            };
            format!("{name} is suspended since {since}{by}\n")
        }
    }
}

/// What holds for a partition, a line each.
pub fn partition(partition: &Partition, console: &Console) -> String {
    let mut text = suspension(partition, console);
    if partition.weight > 1 {
        text.push_str(&format!("its weight is {}\n", partition.weight));
    }
    for (what, quota) in [
        ("jobs that have not ended", partition.max_open_jobs),
        ("items in flight", partition.max_items_in_flight),
    ] {
        if quota > 0 {
            text.push_str(&format!("its quota is {} {what}\n", count(quota.into())));
        }
    }
    if let Some(kept) = &partition.retention {
        for (state, expiry) in [
            ("completed", &kept.completed),
            ("failed", &kept.failed),
            ("cancelled", &kept.cancelled),
        ] {
            if !expiry.is_empty() {
                text.push_str(&format!("{state} jobs are deleted: {}\n", clean(expiry)));
            }
        }
    }
    text
}
