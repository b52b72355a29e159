//! Tests of splitting filters into tokens.

use super::*;

fn word(text: &str) -> Token {
    Token::Word(text.to_owned())
}

fn quoted_text(text: &str) -> Token {
    Token::Quoted(Argument::from(text.to_owned()))
}

/// The tokens of a text that is a filter.
fn read(text: &str) -> Vec<Token> {
    let placed = tokens(text).unwrap_or_else(|fault| panic!("{text} {fault}"));
    placed.into_iter().map(|(_, token)| token).collect()
}

/// Where a text is wrong.
fn fault(text: &str) -> Fault {
    tokens(text).expect_err("not a filter")
}

#[test]
fn nothing_has_no_tokens() {
    assert_eq!(read(""), []);
    assert_eq!(read(" \t\n"), []);
}

#[test]
fn the_longest_comparator_counts() {
    for comparator in COMPARATORS {
        let text = format!("a{comparator}b");
        let expected = [word("a"), Token::Comparator(comparator), word("b")];
        assert_eq!(read(&text), expected, "{text}");
    }
}

#[test]
fn blanks_around_a_comparator_change_nothing() {
    assert_eq!(read("a = b"), read("a=b"));
    assert_eq!(read("a  !=\tb"), read("a!=b"));
}

#[test]
fn an_argument_may_contain_comparators() {
    let expected = [
        word("create_time"),
        Token::Comparator(">"),
        word("2026-01-02T03:04:05Z"),
    ];
    assert_eq!(read("create_time>2026-01-02T03:04:05Z"), expected);
    assert_eq!(
        read("a==b"),
        [word("a"), Token::Comparator("="), word("=b")]
    );
}

#[test]
fn arguments_of_a_list_may_contain_comparators_too() {
    let expected = [
        word("id"),
        Token::Comparator("="),
        Token::Open,
        word("a:b"),
        word("OR"),
        word("c=d"),
        Token::Close,
    ];
    assert_eq!(read("id = (a:b OR c=d)"), expected);
}

#[test]
fn a_minus_before_a_restriction_negates() {
    let expected = [Token::Minus, word("a"), Token::Comparator("="), word("b")];
    assert_eq!(read("-a=b"), expected);
    assert_eq!(read("(-a=b)")[1], Token::Minus);
    assert_eq!(read("x=y AND -a=b")[4], Token::Minus);
}

#[test]
fn a_minus_elsewhere_belongs_to_its_word() {
    assert_eq!(
        read("a=-1"),
        [word("a"), Token::Comparator("="), word("-1")]
    );
    assert_eq!(read("a-b=c")[0], word("a-b"));
}

#[test]
fn both_quotes_hold_what_stands_between_them() {
    assert_eq!(read("\"a (b) = 'c'\""), [quoted_text("a (b) = 'c'")]);
    assert_eq!(read("'a \"b\"'"), [quoted_text("a \"b\"")]);
    assert_eq!(read("''"), [quoted_text("")]);
}

#[test]
fn a_backslash_takes_the_next_character_as_it_is() {
    assert_eq!(read(r#""a\"b""#), [quoted_text("a\"b")]);
    assert_eq!(read(r#""a\\b""#), [quoted_text(r"a\b")]);
}

#[test]
fn stars_part_a_text_unless_a_backslash_precedes_them() {
    let parts = |text: &str| match read(text).remove(0) {
        Token::Quoted(argument) => argument.parts,
        other => panic!("{other:?}"),
    };
    assert_eq!(parts("'a*b'"), ["a", "b"]);
    assert_eq!(parts("'*'"), ["", ""]);
    assert_eq!(parts(r"'a\*b'"), ["a*b"]);
    assert_eq!(parts(r"'a\**'"), ["a*", ""]);
}

#[test]
fn a_dot_before_quotes_stands_alone() {
    let expected = [
        word("labels"),
        Token::Dot,
        quoted_text("a b"),
        Token::Comparator("="),
        word("c"),
    ];
    assert_eq!(read("labels.'a b'=c"), expected);
    assert_eq!(read("labels.team=c")[0], word("labels.team"));
}

#[test]
fn tokens_know_their_characters() {
    let places: Vec<usize> = tokens("ü = 'ä' AND b")
        .unwrap()
        .into_iter()
        .map(|(place, _)| place)
        .collect();
    assert_eq!(places, [1, 3, 5, 9, 13]);
}

#[test]
fn a_missing_quote_is_named_where_the_text_begins() {
    let fault = fault("a = 'b");
    assert_eq!(fault.at, 5);
    assert!(fault.to_string().contains("no closing quote"), "{fault}");
    // The backslash takes the quote.
    assert_eq!(super::tokens(r#"""#).unwrap_err().at, 1);
    assert_eq!(super::tokens(r#"a="b\"#).unwrap_err().at, 3);
}
