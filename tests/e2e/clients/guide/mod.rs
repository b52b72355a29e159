//! What docs/API.md shows is what runs here: the Rust snippets are modules of this program, and the
//! command lines are run by the command line client. Snippets for pages are run by the tests in a
//! browser.

#[rustfmt::skip]
#[allow(unreachable_pub, reason = "a reader of the guide copies it")]
mod all_completed;
#[rustfmt::skip]
#[allow(unreachable_pub, reason = "a reader of the guide copies it")]
mod first_completed;
#[rustfmt::skip]
#[allow(unreachable_pub, reason = "a reader of the guide copies it")]
mod follow;

use std::time::Duration;

use headway::v1::{JobState, ListEventsRequest};
use headway_cli::{Console, ExitStatus, main_with};
use headway_tests::{Deployment, PATIENCE, Record, range};
use tokio::time::timeout;

use crate::handlers::{quick, slow};

on_both!(rust_snippets, command_lines);

const GUIDE: &str = include_str!("../../../../docs/API.md");

/// The blocks of a language in the guide.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let blocks = GUIDE.split(begin.as_str()).skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .collect()
}

async fn rust_snippets(d: Deployment) {
    let shown = blocks("rust");
    let run = [
        include_str!("follow.rs"),
        include_str!("all_completed.rs"),
        include_str!("first_completed.rs"),
    ];
    assert_eq!(shown, run, "the guide shows what is run here");

    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(2))));
    let name = d.create("nightly", range(50, 50).build()).await;
    let client = d.client();
    timeout(PATIENCE, follow::follow(client, &name))
        .await
        .unwrap()
        .unwrap();
    d.finish(&name, JobState::Completed).await;
    let jobs = timeout(PATIENCE, all_completed::all_completed(client, "default")).await;
    assert_eq!(jobs.unwrap().unwrap(), 1);
    let begin = ListEventsRequest {
        parent: "partitions/default".to_owned(),
        page_size: 1,
        ..ListEventsRequest::default()
    };
    let first = client.list_events(begin).await.unwrap().events.remove(0);
    let completed = first_completed::first_completed(client, "default", &first.cursor);
    assert_eq!(
        timeout(PATIENCE, completed).await.unwrap().unwrap(),
        name.to_string()
    );
}

/// Runs a command line; its status and what it printed, or `None` if it was ended because it goes
/// on forever.
async fn headway(d: &Deployment, line: &str) -> Option<ExitStatus> {
    let console = Console::captured(std::io::sink(), std::io::sink());
    let mut console = console.with_variable("HEADWAY_SERVER", format!("http://{}", d.address()));
    // No word of the guide has a blank in its quotes.
    let words = line.split_whitespace();
    let line: Vec<String> = words
        .map(|word| word.trim_matches('\'').to_owned())
        .collect();
    let endless = line.iter().any(|word| word == "--follow");
    let run = main_with(line, &mut console);
    match endless {
        true => timeout(Duration::from_secs(1), run).await.ok(),
        false => Some(timeout(PATIENCE, run).await.unwrap()),
    }
}

async fn command_lines(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let name = d.create("nightly", range(50, 50).build()).await;
    d.finish(&name, JobState::Completed).await;
    let lines = blocks("sh");
    assert_eq!(lines.len(), 13);
    for line in lines.iter().flat_map(|block| block.lines()) {
        let ended = headway(&d, line).await;
        // What follows forever was still at it.
        let expected = (!line.contains("--follow")).then_some(ExitStatus::Completed);
        assert_eq!(ended, expected, "{line}");
    }
}
