//! Commits that are applied although nobody hears of it, one after the other for every operation of
//! the store. The caller tries again as the product does, and the rows are those of a call that was
//! heard.

mod answers;
mod calls;
mod operations;
mod subject;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
};

use headway_store::{Store, StoreError};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::suite::{Fixture, name, new_job, task};
use answers::Losing;
use operations::{OPERATIONS, Operation, Repetition};
use subject::Subject;

/// What became of a call whose answer, or one of whose answers, was to be lost.
pub(crate) enum Ended<T> {
    /// The answer was lost.
    Lost,
    /// There were not this many answers.
    Answered(Result<T, StoreError>),
}

/// The places in the code at which transactions ended, in their order; the store tells them in
/// trace events.
#[derive(Clone, Default)]
pub(crate) struct Commits(Arc<Mutex<Vec<String>>>);

impl Commits {
    pub(crate) fn places(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Subscriber for Commits {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "headway_store::commits"
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Place(self));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Place<'a>(&'a Commits);

impl Visit for Place<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "place" {
            self.0.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

/// Sums over rows that a call may change, apart from times and random ids.
const SUMS: &[(&str, &str)] = &[
    ("job", "count(*)"),
    ("job", "sum(version)"),
    ("job_progress", "count(*)"),
    ("job_progress", "sum(known)"),
    ("job_progress", "sum(done)"),
    ("job_progress", "sum(failed)"),
    ("job_progress", "sum(discarded)"),
    ("job_progress", "sum(unreleased)"),
    ("job_progress", "sum(parked)"),
    ("job_progress", "sum(delayed)"),
    ("job_progress", "sum(state)"),
    ("job_progress", "sum(run)"),
    ("job_progress", "sum(control)"),
    ("job_progress", "sum(revision)"),
    ("job_progress", "sum(priority)"),
    ("job_progress", "sum(suspended)"),
    ("job_progress", "sum(redriven)"),
    ("job_progress", "sum(waits)"),
    ("label", "count(*)"),
    ("batch", "count(*)"),
    ("page", "count(*)"),
    ("page", "sum(released)"),
    ("page", "sum(attempt)"),
    ("page", "sum(tries)"),
    ("item", "count(*)"),
    ("item", "sum(attempt)"),
    ("item", "sum(stage)"),
    ("item", "sum(starts)"),
    ("failure", "count(*)"),
    (
        "failure",
        "sum(CASE WHEN code = 'DEAD_LETTERED' THEN 1 ELSE 0 END)",
    ),
    ("sample", "count(*)"),
    ("split_retry", "count(*)"),
    ("outbox", "count(*)"),
    ("outbox", "sum(CASE WHEN created = 0 THEN 1 ELSE 0 END)"),
    ("event", "count(*)"),
    ("prerequisite", "count(*)"),
    ("prerequisite", "sum(state)"),
    ("release_task", "count(*)"),
    ("tombstone", "count(*)"),
    ("garbage", "count(*)"),
    ("unreadable", "count(*)"),
    ("pipe", "count(*)"),
    ("result_pipe", "count(*)"),
    ("pipe_limit", "count(*)"),
    ("pipe_limit", "sum(in_flight)"),
    ("pipe_rate", "count(*)"),
    ("partition_setting", "count(*)"),
    ("partition_setting", "sum(suspended)"),
    ("partition_setting", "sum(pending)"),
    ("partition_setting", "sum(weight)"),
    ("job_type", "count(*)"),
    ("job_type", "sum(version)"),
    ("schedule", "count(*)"),
    ("schedule", "sum(paused)"),
    ("schedule", "sum(made)"),
    ("schedule", "sum(skipped)"),
    ("tracker", "count(*)"),
    ("shard_claim", "sum(CASE WHEN until > 0 THEN 1 ELSE 0 END)"),
];

async fn sums(f: &Fixture) -> Vec<i64> {
    let parts = SUMS.iter().enumerate().map(|(at, (table, sum))| {
        format!("SELECT {at} AS at, CAST(COALESCE({sum}, 0) AS BIGINT) AS value FROM {table}")
    });
    let parts: Vec<_> = parts.collect();
    f.ints(format!(
        "SELECT value FROM ({}) AS sums ORDER BY at",
        parts.join(" UNION ALL ")
    ))
    .await
}

/// What a call changed, by the names of the sums.
async fn changes(f: &Fixture, before: &[i64], operation: &Operation) -> Vec<String> {
    let after = sums(f).await;
    let changed = before.iter().zip(&after).zip(SUMS);
    changed
        .filter(|((before, after), _)| before != after)
        .filter(|(_, (table, _))| !operation.adds_again.contains(table))
        .map(|((before, after), (table, sum))| format!("{table} {sum} {:+}", after - before))
        .collect()
}

/// Empties the tables that sweeps look at, so that each operation meets its own rows alone.
async fn clear(f: &Fixture) {
    // Processes remember which pipes they noted.
    let kept = ["shard_claim", "pipe", "result_pipe"];
    let mut tables: Vec<&str> = SUMS.iter().map(|(table, _)| *table).collect();
    tables.dedup();
    let sql: Vec<_> = tables
        .into_iter()
        .filter(|table| !kept.contains(table))
        .map(|table| format!("DELETE FROM {table}"))
        .collect();
    f.sql(sql.join("; ")).await;
    f.sql("UPDATE shard_claim SET until = 0").await;
}

/// Repeats a call until the database answers. A refusal by the rules, such as that a job was
/// deleted already, is an answer.
async fn again(f: &Fixture, subject: &Subject, store: &Store, operation: &Operation) {
    subject.wait(f).await;
    for _ in 0..20 {
        match subject.call(store, operation.name).await {
            Ok(()) => return,
            Err(StoreError::Domain(error)) if operation.repetition == Repetition::Refused => {
                tracing::debug!(%error, "refused");
                return;
            }
            Err(error) => assert!(error.is_passing(), "{}: {error}", operation.name),
        }
    }
    panic!("{} never succeeds", operation.name);
}

/// Loses one answer after the other of a call, each time on new rows; the places of the commits
/// whose answers were lost.
async fn lose_each(
    f: &Fixture,
    losing: &Losing,
    operation: &Operation,
    wrong: &mut Vec<String>,
) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    let mut repeated = Vec::new();
    for skip in 0.. {
        assert!(skip < 60, "{} does not end", operation.name);
        clear(f).await;
        let subject = Subject::prepare(f, losing.config(), operation).await;
        let before = sums(f).await;
        let commits = Commits::default();
        let call = subject.call(losing.store(), operation.name);
        match losing.call(skip, &commits, call).await {
            Ended::Lost => {
                places.extend(commits.places());
                again(f, &subject, losing.store(), operation).await;
                repeated.push(changes(f, &before, operation).await);
            }
            Ended::Answered(heard) => {
                heard.unwrap_or_else(|error| panic!("{}: {error}", operation.name));
                let once = changes(f, &before, operation).await;
                let others = repeated.iter().enumerate();
                wrong.extend(others.filter(|(_, other)| **other != once).map(|(skip, other)| {
                    format!(
                        "{}: it changed {once:?}, and {other:?} where the answer {skip} was lost",
                        operation.name
                    )
                }));
                break;
            }
        }
    }
    assert!(!repeated.is_empty(), "{} commits nothing", operation.name);
    places
}

/// A line of the store's code that commits.
#[derive(Debug)]
struct CommittingLine {
    /// `file:line`, with the file's path below `src`.
    place: String,
    function: String,
    code: String,
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.map(|path| match path.is_dir() {
        true => files_below(&path),
        false => vec![path],
    });
    files.flatten().collect()
}

fn committing_lines() -> Vec<CommittingLine> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = Vec::new();
    for file in files_below(&root) {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        if name.starts_with("db/") && name != "db/insert.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let mut function = String::new();
        for (at, line) in text.lines().enumerate() {
            let code = line.trim_start();
            let head = code.split_once("fn ").filter(|(before, _)| {
                let words = ["pub", "pub(crate)", "pub(super)", "async"];
                before.split_whitespace().all(|word| words.contains(&word))
            });
            if let Some((_, name)) = head {
                name.split(['(', '<'])
                    .next()
                    .unwrap()
                    .clone_into(&mut function);
            }
            let commits = [".commit()", "tx.end(", ".run_alone(", ".rows_alone("];
            if !code.starts_with("//") && commits.iter().any(|commit| code.contains(commit)) {
                lines.push(CommittingLine {
                    place: format!("{name}:{}", at + 1),
                    function: function.clone(),
                    code: code.to_owned(),
                });
            }
        }
    }
    lines
}

/// Every operation, and so every line that commits: one without an operation in the table fails the
/// test.
pub(crate) async fn every_commit_of_every_operation(f: Fixture) {
    let losing = Losing::start(&f).await;
    // With a single subscriber, tracing asks only the thread that meets an event first, which may
    // be another test's.
    let _second = tracing::Dispatch::new(Commits::default());
    losing
        .store()
        .create_job(new_job(name("first"), task("x")))
        .await
        .unwrap();
    let (mut places, mut wrong) = (BTreeSet::new(), Vec::new());
    for operation in OPERATIONS {
        if operation.only_sqlite && f.is_postgres() {
            continue;
        }
        let lost = lose_each(&f, &losing, operation, &mut wrong).await;
        places.extend(lost.into_iter().filter_map(|place| {
            let file = place.rsplit("src/").next()?;
            Some(file.rsplit_once(':')?.0.to_owned())
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let never = |line: &CommittingLine| {
        let mut never = losing.never_commits().iter();
        never.any(|(function, code)| line.function == *function && line.code.contains(code))
    };
    let mut missing = committing_lines();
    missing.retain(|line| !places.contains(&line.place) && !never(line));
    assert!(
        missing.is_empty(),
        "no operation of the table in operations.rs loses the answers of these commits: {missing:#?}"
    );
}
