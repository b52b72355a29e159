//! Jobs for people.

use headway::v1::{
    BatchSpec, ChangeJobsResponse, Failure, Job, JobProgress, JobState, JobStateCount,
    ListJobsResponse, Prerequisite, PrerequisiteState, TaskSpec, job_spec::Work,
};
use headway_client::JobName;
use jiff::tz::TimeZone;

use crate::{
    Console,
    output::{
        human::{between, clean, count, counted, duration, percentage, rate, seconds, time},
        table::{Column, render},
    },
};

/// How many failures a summary shows.
const SUMMARY_FAILURES: usize = 3;

/// How many prerequisites the details name.
const SHOWN_PREREQUISITES: usize = 20;

/// A state's name as people write it.
pub(crate) fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Unspecified => "UNKNOWN",
        JobState::Waiting => "WAITING",
        JobState::Active => "ACTIVE",
        JobState::Paused => "PAUSED",
        JobState::Completed => "COMPLETED",
        JobState::Failed => "FAILED",
        JobState::Cancelled => "CANCELLED",
    }
}

/// A job's id, with its partition unless that is the usual one.
pub(crate) fn label(name: &str, partition: &str) -> String {
    match name.parse::<JobName>() {
        Ok(name) if name.partition() == partition => clean(name.job()),
        Ok(name) => clean(&format!("{}/{}", name.partition(), name.job())),
        Err(_) => clean(name),
    }
}

/// Counts, failures, rate and time left: `420/1,000 items, 3 failed, 120/s, 4.8s left`.
pub(crate) fn progress(job: &Job) -> String {
    let empty = JobProgress::default();
    let progress = job.progress.as_ref().unwrap_or(&empty);
    let mut parts = vec![format!("{} items", items(progress))];
    if progress.items_failed > 0 {
        parts.push(format!("{} failed", count(progress.items_failed)));
    }
    if progress.items_discarded > 0 {
        parts.push(format!("{} discarded", count(progress.items_discarded)));
    }
    if progress.split_failure_count > 0 {
        parts.push(match progress.split_failure_count {
            1 => "1 batch not split".to_owned(),
            many => format!("{} batches not split", count(many)),
        });
    }
    if job.state() == JobState::Waiting {
        parts.extend(waiting(job));
    }
    if job.state() == JobState::Active {
        parts.extend(rate(progress.items_per_second));
        if let Some(left) = &progress.estimated_time_left {
            parts.push(format!("{} left", duration(seconds(left))));
        }
    }
    parts.join(", ")
}

/// What a job that has not started waits for.
fn waiting(job: &Job) -> Option<String> {
    match (job.open_prerequisite_count, &job.start_due_time) {
        (0, None) => None,
        (0, Some(_)) => Some("waits for its time to start".to_owned()),
        (jobs, _) => Some(format!("waits for {}", counted(i64::from(jobs), "job"))),
    }
}

/// One line about a job: `j ACTIVE 42.0% 420/1,000 items, 3 failed`.
pub(crate) fn line(job: &Job, partition: &str) -> String {
    format!(
        "{} {} {} {}",
        label(&job.name, partition),
        state_name(job.state()),
        percentage(
            job.progress
                .as_ref()
                .map_or(0.0, |progress| progress.percentage)
        ),
        progress(job),
    )
}

/// What a retry would run: `j would have 20 items to run, 10 failures would stay`; `20+ items`
/// while more may be found.
pub(crate) fn would_retry(job: &Job, partition: &str) -> String {
    let empty = JobProgress::default();
    let progress = job.progress.as_ref().unwrap_or(&empty);
    let open = match progress.total_final {
        true => counted(progress.items_open, "item"),
        false => format!("{}+ items", count(progress.items_open)),
    };
    format!(
        "{} would have {open} to run, {} would stay",
        label(&job.name, partition),
        counted(job.failure_count, "failure"),
    )
}

/// A prerequisite and where it stands: `scan (open)`.
fn prerequisite(prerequisite: &Prerequisite) -> String {
    let state = match prerequisite.state() {
        PrerequisiteState::Unspecified | PrerequisiteState::Open => "open",
        PrerequisiteState::Met => "met",
        PrerequisiteState::Broken => "broken",
    };
    let id = prerequisite.job.rsplit('/').next().unwrap_or_default();
    format!("{} ({state})", clean(id))
}

/// What became of a job that has ended, with its newest failures.
pub(crate) fn summary(job: &Job, partition: &str) -> String {
    let name = label(&job.name, partition);
    let took = job.create_time.as_ref().zip(job.end_time.as_ref());
    let took = took.map(|(start, end)| format!(" in {}", duration(between(start, end))));
    let mut text = format!(
        "job {name} {}: {}{}\n",
        state_name(job.state()).to_lowercase(),
        progress(job),
        took.unwrap_or_default(),
    );
    for failure in job.failure_sample.iter().take(SUMMARY_FAILURES) {
        text.push_str(&failure_line(failure));
    }
    if job.failure_count > 0 {
        let all = counted(job.failure_count, "failure");
        text.push_str(&format!(
            "{all}; `headway failures {name}` lists them, `headway retry {name}` runs them again\n"
        ));
    }
    text
}

/// A failure below its job.
fn failure_line(failure: &Failure) -> String {
    let subject = match failure.item.as_str() {
        "" => "the job".to_owned(),
        item => format!("item {}", clean(item)),
    };
    format!("  {subject}: {}\n", reason(failure))
}

/// A table of jobs.
pub(crate) fn jobs(listed: &ListJobsResponse, partition: &str, console: &Console) -> String {
    const COLUMNS: [Column; 8] = [
        Column::left("JOB", 9),
        Column::left("STATE", 9),
        Column::right("DONE", 7),
        Column::right("ITEMS", 6),
        Column::right("FAILED", 5),
        Column::right("RATE", 2),
        Column::left("CREATED", 3),
        Column::text("NAME", 4),
    ];
    let empty = JobProgress::default();
    let rows = listed.jobs.iter().map(|job| {
        let progress = job.progress.as_ref().unwrap_or(&empty);
        let name = job.spec.as_ref().map(|spec| clean(&spec.display_name));
        vec![
            label(&job.name, partition),
            state_name(job.state()).to_owned(),
            percentage(progress.percentage),
            items(progress),
            count(progress.items_failed),
            match job.state() {
                JobState::Active => rate(progress.items_per_second).unwrap_or_default(),
                _ => String::new(),
            },
            time(job.create_time.as_ref(), console.time_zone()),
            name.unwrap_or_default(),
        ]
    });
    match (listed.jobs.as_slice(), listed.unreadable.as_slice()) {
        ([], []) => format!("no jobs in partition {partition} match\n"),
        ([], _) => String::new(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}

/// A line for each job that the server cannot read.
pub(crate) fn unreadable(names: &[String], partition: &str) -> String {
    let line = |name: &String| {
        let label = label(name, partition);
        format!("{label} cannot be read by this version of the server\n")
    };
    names.iter().map(line).collect()
}

/// How many jobs are changed, and by which job.
pub(crate) fn changed(answer: &ChangeJobsResponse, partition: &str) -> String {
    let jobs = counted(answer.matching_job_count, "job");
    match &answer.job {
        None => format!("{jobs} would be changed\n"),
        Some(job) => {
            let name = label(&job.name, partition);
            format!("{name} changes {jobs}; `headway watch {name}` shows how far it is\n")
        }
    }
}

/// Everything about one job.
pub(crate) fn details(job: &Job, zone: &TimeZone) -> String {
    let spec = job.spec.clone().unwrap_or_default();
    let mut rows = vec![
        ("Job", clean(&job.name)),
        ("Uid", clean(&job.uid)),
        ("Name", clean(&spec.display_name)),
        ("Description", clean(&spec.description)),
        ("State", state_name(job.state()).to_owned()),
        ("Progress", progress_details(job)),
    ];
    let mut labels: Vec<_> = spec
        .labels
        .iter()
        .map(|(key, value)| clean(&format!("{key}={value}")))
        .collect();
    labels.sort();
    rows.push(("Labels", labels.join(", ")));
    let needed = spec.prerequisites.iter().take(SHOWN_PREREQUISITES);
    let mut needed: Vec<String> = needed.map(prerequisite).collect();
    if spec.prerequisites.len() > SHOWN_PREREQUISITES {
        let all = i64::try_from(spec.prerequisites.len()).unwrap_or(i64::MAX);
        needed.push(format!("... {} in all", count(all)));
    }
    rows.push(("After", needed.join(", ")));
    match &spec.work {
        Some(Work::Task(task)) => rows.push(("Task", task_line(task))),
        Some(Work::Batch(batch)) => rows.push(("Batch", batch_line(batch))),
        None => {}
    }
    if job.run > 0 {
        rows.push(("Retries", count(i64::from(job.run))));
    }
    for (title, moment) in [
        ("Created", &job.create_time),
        ("Starts at", &job.start_due_time),
        ("Ends by", &job.deadline_time),
        ("Started", &job.start_time),
        ("Updated", &job.update_time),
        ("Ended", &job.end_time),
        ("Settled", &job.settled_time),
        ("Deleted at", &job.expire_time),
    ] {
        if moment.is_some() {
            rows.push((title, time(moment.as_ref(), zone)));
        }
    }
    rows.push(("Created by", clean(&job.created_by)));
    if job.failure_count > 0 {
        rows.push(("Failures", count(job.failure_count)));
    }
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let mut text: String = rows
        .map(|(title, value)| format!("{title:<12} {value}\n"))
        .collect();
    for failure in &job.failure_sample {
        text.push_str(&failure_line(failure));
    }
    text
}

/// The counts and the percentage, with what is out and what waits.
fn progress_details(job: &Job) -> String {
    let progress_counts = job.progress.unwrap_or_default();
    let mut text = format!(
        "{}, {}",
        percentage(progress_counts.percentage),
        progress(job)
    );
    for (number, what) in [
        (progress_counts.items_in_flight, "in flight"),
        (progress_counts.items_parked, "parked"),
        (progress_counts.items_delayed, "waiting for their next try"),
    ] {
        if number > 0 {
            text.push_str(&format!(", {} {what}", count(number)));
        }
    }
    text
}

/// Done items of those expected; `+` while more may come.
fn items(progress: &JobProgress) -> String {
    let expected = progress.items_expected.max(progress.items_known);
    let more = if progress.total_final { "" } else { "+" };
    format!("{}/{}{more}", count(progress.items_done), count(expected))
}

fn reason(failure: &Failure) -> String {
    match (clean(&failure.code), clean(&failure.message)) {
        (code, message) if code.is_empty() => message,
        (code, message) if message.is_empty() => code,
        (code, message) => format!("{code}: {message}"),
    }
}

fn task_line(task: &TaskSpec) -> String {
    let size = i64::try_from(task.payload.len()).unwrap_or(i64::MAX);
    let kind = clean(&format!("{} {}", task.pipe, task.r#type));
    format!("{kind}, {} of payload", counted(size, "byte"))
}

fn batch_line(batch: &BatchSpec) -> String {
    let item = batch.item.clone().unwrap_or_default();
    let text = format!("{} into {} {}", batch.splitter, item.pipe, item.r#type);
    clean(&text)
}

/// How many jobs are in each state, and in all.
pub(crate) fn counts(counts: &[JobStateCount], partition: &str, console: &Console) -> String {
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

#[cfg(test)]
mod tests;
