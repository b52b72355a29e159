//! `headway type test`, which needs no server, over the definition that the guide shows.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::{Value, json};

const EXPORT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/job-types/export.yaml"
);
const GUIDE: &str = include_str!("../../../docs/JOB_TYPES.md");

fn test(file: &str, parameters: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headway"))
        .args(["type", "test", file, "--parameters", parameters])
        .envs(variables.iter().copied())
        .output()
        .expect("runs")
}

/// What a test that must fail says.
fn refused(file: &str, parameters: &str) -> String {
    let output = test(file, parameters, &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn the_guide_shows_the_example() {
    let example = fs::read_to_string(EXPORT).unwrap();
    let shown = GUIDE.split("```yaml\n").nth(1).unwrap();
    assert_eq!(shown.split("```").next().unwrap(), example);
}

#[test]
fn a_definition_makes_work_of_parameters() {
    let variables = [("HEADWAY_JOB_TYPE_EXPORT_ARCHIVE", "/srv/archive")];
    let output = test(EXPORT, r#"{"root": "/srv/manuals"}"#, &variables);
    assert!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let batch = json!({
        "splitter": "files",
        "json": {"root": "/srv/manuals", "glob": "**/*", "group": 20},
        "item": {
            "pipe": "documents.export",
            "type": "export",
            "payload": {"source": "{{item}}", "out": "/srv/archive"},
        },
    });
    assert_eq!(made, json!({"batch": batch}));
}

#[test]
fn what_is_wrong_is_said() {
    let said = refused(EXPORT, r#"{"root": "relative", "files_per_archive": 0}"#);
    assert!(said.contains("parameters/root: "), "{said}");
    assert!(said.contains("parameters/files_per_archive: "), "{said}");
    let said = refused(EXPORT, "[1");
    assert!(said.contains("--parameters"), "{said}");
    let said = refused("/nowhere.yaml", "{}");
    assert!(said.contains("/nowhere.yaml"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        let path = folder.path().join("mine.yaml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (text, why) in [
        ("program: '{a: '", "program is wrong"),
        ("program: '{}'\nparameters: {type: 5}", "no JSON Schema"),
        (
            "program: '{}'\nconfiguration: {place: {}}",
            "set HEADWAY_JOB_TYPE_MINE_PLACE",
        ),
        ("program: 'error(\"no such root\")'", "no such root"),
        (
            "program: '{a: (0 | until(false; . + 1))}'",
            "too much time or memory",
        ),
    ] {
        let said = refused(&write(text), "{}");
        assert!(said.contains(why), "{text}: {said}");
    }
}
