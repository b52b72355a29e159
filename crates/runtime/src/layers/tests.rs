//! The layers over a small type with a section, apart from what Headway's settings are.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::*;
use crate::secret::SecretUrl;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sample {
    name: String,
    size: u32,
    verbose: bool,
    parts: Vec<String>,
    url: Option<SecretUrl>,
    timers: Timers,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Timers {
    fast: i64,
    slow: f64,
}

impl Default for Timers {
    fn default() -> Self {
        Self { fast: 1, slow: 2.5 }
    }
}

impl Settings for Sample {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.size > 100 {
            problems.push(Problem::new("size", "must be at most 100"));
        }
        if self.timers.fast < 0 {
            problems.push(Problem::new("timers.fast", "must not be negative"));
        }
        problems
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn with_file(text: &str) -> (tempfile::TempDir, Layers) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("headway.yaml");
    std::fs::write(&path, text).unwrap();
    (folder, Layers::new().file(Some(path)))
}

fn load(layers: &Layers) -> Sample {
    layers.load().unwrap().settings
}

fn error(layers: &Layers) -> String {
    layers.load::<Sample>().unwrap_err().to_string()
}

#[test]
fn without_layers_there_are_the_defaults() {
    assert_eq!(load(&Layers::new()), Sample::default());
}

#[test]
fn each_layer_wins_over_those_before_it_key_by_key() {
    let (_folder, layers) = with_file(
        "name: file\nsize: 1\nverbose: false\nparts: [a, b]\ntimers:\n  fast: 10\n  slow: 20\n",
    );
    let layers = layers
        .environment(variables(&[
            ("HEADWAY_SIZE", "2"),
            ("HEADWAY_VERBOSE", "true"),
            ("HEADWAY_PARTS", "c, d,"),
            ("HEADWAY_TIMERS__FAST", "-0"),
        ]))
        .set("size", Some(3))
        .set("name", None::<String>)
        .set("timers.slow", Some("0.5"));
    let expected = Sample {
        name: "file".to_owned(),
        size: 3,
        verbose: true,
        parts: vec!["c".to_owned(), "d".to_owned()],
        url: None,
        timers: Timers { fast: 0, slow: 0.5 },
    };
    assert_eq!(load(&layers), expected);
}

#[test]
fn text_is_read_as_the_setting_says_and_not_as_yaml_would() {
    let layers = Layers::new().environment(variables(&[
        ("HEADWAY_NAME", "007"),
        ("HEADWAY_URL", "amqp://a:b #c: {d@broker"),
    ]));
    let sample = load(&layers);
    assert_eq!(sample.name, "007");
    assert_eq!(sample.url.unwrap().expose(), "amqp://a:b #c: {d@broker");
}

#[test]
fn an_empty_variable_is_none_and_an_empty_flag_takes_an_option_back() {
    let (_folder, layers) = with_file("name: file\nurl: amqp://broker\n");
    let layers = layers.environment(variables(&[("HEADWAY_URL", ""), ("HEADWAY_NAME", "")]));
    assert_eq!(load(&layers).url, Some(SecretUrl::new("amqp://broker")));
    assert_eq!(load(&layers).name, "file");
    assert_eq!(load(&layers.set("url", Some(""))).url, None);
}

#[test]
fn variables_that_name_no_setting_are_told_and_not_fatal() {
    let layers = Layers::new().environment(variables(&[
        ("HEADWAY_PORT_6420_TCP", "tcp://10.0.0.1:6420"),
        ("HEADWAY_TIMERS", "1"),
        ("HEADWAY_CONFIG", "elsewhere.yaml"),
        ("HOME", "/root"),
        ("HEADWAY_SIZE", "7"),
    ]));
    let loaded = layers.load::<Sample>().unwrap();
    assert_eq!(loaded.settings.size, 7);
    assert_eq!(loaded.ignored, ["HEADWAY_PORT_6420_TCP", "HEADWAY_TIMERS"]);
}

#[test]
fn an_empty_file_is_a_file_without_settings() {
    for text in ["", "# nothing yet\n", "---\n", "{}"] {
        let (_folder, layers) = with_file(text);
        assert_eq!(load(&layers), Sample::default(), "{text:?}");
    }
}

#[test]
fn errors_in_a_file_name_the_key_the_file_and_the_line() {
    let table = [
        ("size: 1\nsise: 2\n", "unknown field `sise`", "line 2"),
        (
            "timers:\n  fats: 2\n",
            "timers: unknown field `fats`",
            "line 2",
        ),
        ("size: many\n", "size: invalid type", "line 1"),
        (
            "timers:\n  fast: x\n",
            "timers.fast: invalid type",
            "line 2",
        ),
        (
            "size: 1\nsize: 2\n",
            "duplicate mapping key `size`",
            "line 2",
        ),
        ("- size\n", "invalid type: sequence", ""),
        ("just text\n", "invalid type: string", ""),
        ("size: [1\n", "unclosed bracket", "line 1"),
    ];
    for (text, reason, line) in table {
        let (folder, layers) = with_file(text);
        let error = error(&layers);
        let file = folder.path().join("headway.yaml").display().to_string();
        assert!(
            error.contains(&file) && error.contains(reason) && error.contains(line),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let layers = Layers::new().file(Some(Path::new("/no/such/headway.yaml").to_path_buf()));
    assert!(error(&layers).starts_with("cannot read the configuration file /no/such/headway.yaml"));
}

#[test]
fn errors_in_text_name_the_variable_or_the_flag() {
    let layers = Layers::new().environment(variables(&[("HEADWAY_TIMERS__FAST", "soon")]));
    let message = error(&layers);
    assert_eq!(
        message,
        "environment variable HEADWAY_TIMERS__FAST: invalid type: string \"soon\", expected i64"
    );

    let message = error(&Layers::new().set("size", Some(-1)));
    assert!(message.starts_with("flag for size: "), "{message}");
    assert_eq!(
        error(&Layers::new().set("sise", Some(1))),
        "flag for sise: there is no such setting"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_refused_only_where_it_is_a_setting() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(vec![0xff]);
    let foreign =
        Layers::new().environment([("OTHER".into(), odd.clone()), (odd.clone(), "x".into())]);
    assert_eq!(load(&foreign), Sample::default());
    let ours = Layers::new().environment([("HEADWAY_NAME".into(), odd)]);
    assert_eq!(
        error(&ours),
        "environment variable HEADWAY_NAME: is not valid unicode"
    );
}

#[test]
fn all_problems_are_told_at_once_with_where_each_value_comes_from() {
    let (folder, layers) = with_file("size: 1000\n");
    let layers = layers.environment(variables(&[("HEADWAY_TIMERS__FAST", "-4")]));
    let file = folder.path().join("headway.yaml");
    let expected = format!(
        "the configuration is not valid: size must be at most 100 (file {}); \
         timers.fast must not be negative (environment variable HEADWAY_TIMERS__FAST)",
        file.display()
    );
    assert_eq!(error(&layers), expected);
}
