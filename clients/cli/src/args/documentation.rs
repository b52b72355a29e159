//! Every command line that the documentation shows can be read.

use clap::{CommandFactory, Parser, error::ErrorKind};

use super::{Cli, Format};

const PAGES: [(&str, &str); 7] = [
    ("README.md", include_str!("../../../../README.md")),
    ("API.md", include_str!("../../../../docs/API.md")),
    (
        "JOB_TYPES.md",
        include_str!("../../../../docs/JOB_TYPES.md"),
    ),
    (
        "MIGRATING.md",
        include_str!("../../../../docs/MIGRATING.md"),
    ),
    (
        "OPERATIONS.md",
        include_str!("../../../../docs/OPERATIONS.md"),
    ),
    (
        "SPLITTERS.md",
        include_str!("../../../../docs/SPLITTERS.md"),
    ),
    ("WORKERS.md", include_str!("../../../../docs/WORKERS.md")),
];

/// Lines of code and texts between backticks that begin with the program's name.
fn command_lines(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            found.extend(line.starts_with("headway ").then_some(line));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.filter(|span| span.starts_with("headway ")));
        }
    }
    found
}

/// Words, some of them in single quotes; what follows a `#` is said to people.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" # ").next().unwrap_or(line);
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for char in line.chars() {
        match char {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            char if char.is_whitespace() && !is_quoted => words.extend(word.take()),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn what_the_documentation_shows_can_be_read() {
    let mut shown = 0;
    for (name, page) in PAGES {
        for line in command_lines(page) {
            shown += 1;
            if let Err(error) = Cli::try_parse_from(words(line)) {
                let is_help = error.kind() == ErrorKind::DisplayHelp;
                assert!(is_help, "{name} shows `{line}`: {error}");
            }
        }
    }
    assert!(shown > 80, "{shown}");
}

#[test]
fn globals_may_follow_the_command() -> Result<(), clap::Error> {
    let cli = Cli::try_parse_from([
        "headway", "ls", "--state", "ACTIVE", "-p", "x", "-o", "json",
    ])?;
    assert_eq!(cli.global.partition.as_deref(), Some("x"));
    assert_eq!(cli.global.output, Some(Format::Json));
    Ok(())
}
