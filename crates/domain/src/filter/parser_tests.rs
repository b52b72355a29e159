//! Tests of parsing filters.

use proptest::prelude::*;

use super::*;
use crate::error::Error;

fn text(field: TextField, text: &str) -> Filter {
    Filter::Text(field, TextTest::new(text))
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

#[test]
fn restrictions_are_read() {
    let of_label =
        |key: &str, test: Option<&str>| Filter::Label(key.to_owned(), test.map(TextTest::new));
    let cases = [
        ("", Filter::All(Vec::new())),
        ("state = ACTIVE", Filter::State(JobState::Active)),
        ("state!=ACTIVE", not(Filter::State(JobState::Active))),
        ("id=a", text(TextField::Id, "a")),
        ("created_by = ada", text(TextField::CreatedBy, "ada")),
        ("creator = ada", text(TextField::CreatedBy, "ada")),
        (
            "id = \"a\\*b\"",
            Filter::Text(TextField::Id, TextTest::Equals("a*b".to_owned())),
        ),
        (
            "name = \"a\\**\"",
            Filter::Text(
                TextField::DisplayName,
                TextTest::Pattern(vec!["a*".to_owned(), String::new()]),
            ),
        ),
        (
            "name : \"\\*\"",
            Filter::Text(
                TextField::DisplayName,
                TextTest::Pattern(["", "*", ""].map(str::to_owned).to_vec()),
            ),
        ),
        (
            "labels.k : \"\\*\"",
            Filter::Label(
                "k".to_owned(),
                Some(TextTest::Pattern(["", "*", ""].map(str::to_owned).to_vec())),
            ),
        ),
        ("labels.k : blue", of_label("k", Some("*blue*"))),
        ("labels.k : \"*\"", Filter::Label("k".to_owned(), None)),
        ("id = \"a \\\"b\\\"\"", text(TextField::Id, "a \"b\"")),
        ("name = 'x*'", text(TextField::DisplayName, "x*")),
        (
            "display_name : night",
            text(TextField::DisplayName, "*night*"),
        ),
        ("labels.team = blue", of_label("team", Some("blue"))),
        ("labels.a.b/c = x:y", of_label("a.b/c", Some("x:y"))),
        ("labels.\"a:b\" = x", of_label("a:b", Some("x"))),
        ("labels:team", of_label("team", None)),
        ("labels.team:*", of_label("team", None)),
        (
            "percentage >= 50.5",
            Filter::Percentage(Comparison::GreaterOrEqual, 50.5),
        ),
        (
            "create_time < 1970-01-01T00:00:01Z",
            Filter::Time(TimeField::Create, Comparison::Less, 1_000_000),
        ),
        (
            "end_time > \"1970-01-01T01:00:00.5+01:00\"",
            Filter::Time(TimeField::End, Comparison::Greater, 500_000),
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(parse(source), Ok(expected), "{source}");
    }
}

#[test]
fn or_binds_more_tightly_than_and() {
    let id = |id: &str| text(TextField::Id, id);
    let either = Filter::Any(vec![id("b"), id("c")]);
    let expected = Filter::All(vec![id("a"), either.clone()]);
    for source in [
        "id = a AND id = b OR id = c",
        "id = a id = b OR id = c",
        "id=a (id=b OR id=c)",
        "id = a AND id = (b OR c)",
    ] {
        assert_eq!(parse(source), Ok(expected.clone()), "{source}");
    }
    assert_eq!(parse("NOT id = (b OR c)"), Ok(not(either.clone())));
    assert_eq!(parse("id != (b OR c)"), Ok(not(either.clone())));
    assert_eq!(parse("-id = (b OR c)"), Ok(not(either)));
    assert_eq!(
        parse("id = a -id = b"),
        Ok(Filter::All(vec![id("a"), not(id("b"))]))
    );
}

#[test]
fn faults_name_their_place() {
    let deep = "(".repeat(40);
    let many = "id = a ".repeat(101);
    let cases = [
        ("stat = ACTIVE", 1, "none of the fields"),
        ("state = BUSY", 9, "none of the states"),
        ("state < ACTIVE", 9, "does not fit"),
        ("state =", 8, "a value is expected"),
        ("state", 6, "one of ="),
        ("id = a AND", 11, "a restriction"),
        ("id = a OR OR id = b", 11, "a restriction"),
        ("(id = a", 8, "closing parenthesis"),
        ("id = a)", 7, "a restriction"),
        ("id = \"a", 6, "closing quote"),
        ("percentage = 101", 14, "0 to 100"),
        ("percentage : 5", 14, "does not fit"),
        ("percentage = x", 14, "no number"),
        ("create_time = today", 15, "no time"),
        ("labels = x", 10, "by name"),
        ("labels.\"\" = x", 8, "label's name"),
        (deep.as_str(), 18, "nested"),
        (many.as_str(), 701, "more than 100"),
        ("id = a\0", 7, "U+0000"),
    ];
    for (source, at, what) in cases {
        let fault = parse(source).expect_err(source);
        assert_eq!(fault.at, at, "{source}: {fault}");
        assert!(fault.what.contains(what), "{source}: {fault}");
    }
    let Err(Error::Invalid(list)) = Filter::parse("x") else {
        panic!("accepted")
    };
    assert_eq!(list[0].field, "filter");
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(source in "[ -~\"'()a-zA-Z=<>!:.é-]{0,80}") {
        if let Err(fault) = parse(&source) {
            prop_assert!(fault.at >= 1 && fault.at <= source.chars().count() + 1);
        }
    }
}
