//! Command lines that look at what is around jobs, in process, against a scripted server.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

// Each test program uses another part of it.
#[allow(dead_code)]
#[path = "../../rust/tests/fake/mod.rs"]
mod fake;
#[allow(dead_code)]
mod line;

use fake::{Fake, Scene, refusal, state};
use headway::v1::{
    AuditEvent, Batch, BatchState, EventKind, JobState, ListBatchesResponse, ListEventsResponse,
    ListPipesResponse, Pipe, RemovedJob, WatchEventsResponse, WatchJobsResponse,
};
use headway_cli::ExitStatus;
use line::run;
use serde_json::Value;
use tonic::Code;

fn event(kind: EventKind, done_by: &str) -> AuditEvent {
    AuditEvent {
        job: "partitions/default/jobs/j".to_owned(),
        kind: kind.into(),
        done_by: done_by.to_owned(),
        event_time: Some(prost_types::Timestamp {
            seconds: 1_772_366_400,
            nanos: 0,
        }),
        ..AuditEvent::default()
    }
}

/// A stream of one message, which the server then refuses to go on with.
fn once<T>(message: T) -> Scene<T> {
    Scene {
        steps: vec![Ok(message), Err(refusal(Code::InvalidArgument, "enough"))],
        open: false,
    }
}

#[tokio::test]
async fn following_jobs_tells_of_changes_and_removals() {
    let fake = Fake::default();
    let update = || WatchJobsResponse {
        jobs: vec![state("u", 3, JobState::Active)],
        removed: vec![
            RemovedJob {
                name: "partitions/p/jobs/gone".to_owned(),
                deleted: true,
                ..RemovedJob::default()
            },
            RemovedJob {
                name: "partitions/p/jobs/ended".to_owned(),
                ..RemovedJob::default()
            },
        ],
        listing_begins: true,
        listing_complete: true,
        ..WatchJobsResponse::default()
    };
    let watches = [once(update()), once(update())];
    fake.script().jobs_watches.extend(watches);
    let (status, stdout, stderr) = run(&fake, &["ls", "-f", "-p", "p"]).await;
    assert_eq!(
        stdout,
        "j ACTIVE 0.0% 0/0+ items\ngone was deleted\nended no longer matches\n"
    );
    assert!(stderr.contains("cannot be followed"), "{stderr}");
    assert_eq!(status, ExitStatus::Usage);
    let (_, stdout, _) = run(&fake, &["ls", "-f", "-p", "p", "-o", "json"]).await;
    let document: Value = serde_json::from_str(&stdout).expect("one JSON document");
    assert_eq!(document["revision"], "3");
}

#[tokio::test]
async fn events_are_a_table_or_lines() {
    let fake = Fake::default();
    let mut split = event(EventKind::JobBatchSplit, "");
    split.batch = "partitions/default/jobs/j/batches/7".to_owned();
    split.item_count = 1200;
    let listed = ListEventsResponse {
        events: vec![event(EventKind::JobPaused, "ada"), split.clone()],
        ..ListEventsResponse::default()
    };
    fake.script().event_pages.push_back(listed);
    let (status, stdout, _) = run(&fake, &["events", "j"]).await;
    assert_eq!(status, ExitStatus::Completed);
    let lines: Vec<_> = stdout.lines().collect();
    assert!(
        lines[1].contains("paused") && lines[1].contains("ada"),
        "{stdout}"
    );
    assert!(lines[2].ends_with("batch 7, 1,200 items"), "{stdout}");

    fake.script().events_watches.push_back(Scene {
        steps: vec![Ok(WatchEventsResponse {
            events: vec![event(EventKind::JobPaused, "ada"), split],
            resume_token: "c".to_owned(),
        })],
        open: true,
    });
    let arguments = ["events", "--follow", "--limit", "2", "--after", "b"];
    let (status, stdout, _) = run(&fake, &arguments).await;
    assert_eq!(status, ExitStatus::Completed);
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].ends_with("j paused by ada"), "{stdout}");
    assert!(
        lines[1].ends_with("j batch split: batch 7, 1,200 items"),
        "{stdout}"
    );
    assert_eq!(fake.requests("watch events"), ["b"]);
}

#[tokio::test]
async fn events_of_some_kinds_are_asked_for() {
    let fake = Fake::default();
    let events = || {
        vec![
            event(EventKind::JobPaused, "ada"),
            event(EventKind::JobResumed, "ada"),
        ]
    };
    fake.script().event_pages.push_back(ListEventsResponse {
        events: events(),
        ..ListEventsResponse::default()
    });
    let (status, stdout, _) = run(&fake, &["events", "j", "--kind", "resumed"]).await;
    assert_eq!(status, ExitStatus::Completed);
    assert!(!stdout.contains("paused"), "{stdout}");
    assert!(stdout.contains("resumed"), "{stdout}");

    fake.script().events_watches.push_back(Scene {
        steps: vec![Ok(WatchEventsResponse {
            events: events(),
            resume_token: "c".to_owned(),
        })],
        open: true,
    });
    let arguments = ["events", "--follow", "--limit", "1", "--kind", "resumed"];
    let (status, stdout, _) = run(&fake, &arguments).await;
    assert_eq!(status, ExitStatus::Completed);
    assert!(stdout.trim_end().ends_with("j resumed by ada"), "{stdout}");
}

#[tokio::test]
async fn batches_and_pipes_are_tables() {
    let fake = Fake::default();
    let batch = |number: u32, title: &str| Batch {
        name: format!("partitions/default/jobs/j/batches/{number}"),
        state: BatchState::Active.into(),
        title: title.to_owned(),
        items_known: 40,
        items_done: 10,
        ..Batch::default()
    };
    let page = |batches| ListBatchesResponse {
        batches,
        ..ListBatchesResponse::default()
    };
    let pages = [
        page(vec![batch(1, "/data")]),
        page(vec![batch(2, "a"), batch(3, "b")]),
    ];
    fake.script().batch_pages.extend(pages);
    let (status, stdout, _) = run(&fake, &["batches", "j"]).await;
    assert_eq!(status, ExitStatus::Completed);
    assert_eq!(stdout.lines().count(), 4, "{stdout}");
    assert!(
        stdout.contains("25.0%") && stdout.contains("10/40+"),
        "{stdout}"
    );
    let parent = "partitions/default/jobs/j";
    let asked = fake.requests("batches");
    assert_eq!(
        asked,
        [parent.to_owned(), format!("{parent} {parent}/batches/1")]
    );

    let pipe = |name: &str, reachable| Pipe {
        name: format!("partitions/default/pipes/{name}"),
        consumer_count: 3,
        items_in_flight: 12,
        reachable,
        ..Pipe::default()
    };
    let pipes = ListPipesResponse {
        pipes: vec![pipe("a", true), pipe("b", false)],
        next_page_token: String::new(),
    };
    fake.script().pipe_pages.push_back(pipes);
    let (_, stdout, _) = run(&fake, &["pipes"]).await;
    let lines: Vec<_> = stdout.lines().collect();
    assert!(
        lines[1].contains('3') && !lines[1].contains('?'),
        "{stdout}"
    );
    assert!(lines[2].contains('?'), "{stdout}");
}

#[tokio::test]
async fn reasons_are_told() {
    let fake = Fake::default();
    let (status, stdout, _) = run(&fake, &["explain", "nightly"]).await;
    assert_eq!(status, ExitStatus::Completed);
    assert_eq!(stdout, "nightly UNKNOWN\n  it waits for its start time\n");
}

#[tokio::test]
async fn a_partition_is_suspended_and_resumed() {
    let fake = Fake::default();
    let (_, stdout, _) = run(&fake, &["partition"]).await;
    assert_eq!(stdout, "partitions/default is not suspended\n");
    let (_, stdout, _) = run(&fake, &["-p", "acme", "partition", "suspend"]).await;
    assert!(
        stdout.starts_with("partitions/acme is suspended since"),
        "{stdout}"
    );
    assert!(stdout.ends_with(", by ada\n"), "{stdout}");
    let (_, stdout, _) = run(&fake, &["-p", "acme", "partition", "resume"]).await;
    assert_eq!(stdout, "partitions/acme is not suspended\n");
}

#[tokio::test]
async fn many_jobs_are_changed_by_one() {
    let fake = Fake::default();
    let (status, stdout, _) = run(
        &fake,
        &["bulk", "cancel", "--filter", "id = a", "--validate-only"],
    )
    .await;
    assert_eq!(status, ExitStatus::Completed);
    assert_eq!(stdout, "1,234 jobs would be changed\n");
    let (_, stdout, _) = run(&fake, &["bulk", "delete", "--all"]).await;
    assert!(stdout.starts_with("sweep changes 1,234 jobs;"), "{stdout}");
    assert_eq!(fake.requests("cancel many"), ["id = a"]);
    assert_eq!(fake.requests("delete many"), [""]);
    // Which jobs must be said.
    let (status, _, _) = run(&fake, &["bulk", "delete"]).await;
    assert_eq!(status, ExitStatus::Usage);
}

#[tokio::test]
async fn schedules_are_made_and_shown() {
    let fake = Fake::default();
    let create = [
        "schedule",
        "create",
        "nightly",
        "--cron",
        "0 3 * * *",
        "--time-zone",
        "Europe/Berlin",
        "--pipe",
        "p",
    ];
    let (status, stdout, _) = run(&fake, &create).await;
    assert_eq!(status, ExitStatus::Completed);
    assert!(
        stdout.contains("nightly") && stdout.contains("0 3 * * *"),
        "{stdout}"
    );
    let (_, stdout, _) = run(&fake, &["schedule", "pause", "nightly"]).await;
    assert!(stdout.contains("paused"), "{stdout}");
    let (_, stdout, _) = run(&fake, &["schedule", "ls"]).await;
    assert_eq!(stdout, "no schedules\n");
    let (_, stdout, _) = run(&fake, &["schedule", "rm", "nightly"]).await;
    assert_eq!(stdout, "deleted partitions/default/schedules/nightly\n");
}
