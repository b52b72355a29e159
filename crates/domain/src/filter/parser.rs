//! From tokens to a filter.

use super::{
    Comparison, Filter, MAX_DEPTH, MAX_FILTER_BYTES, MAX_RESTRICTIONS, TextField, TextTest,
    TimeField,
    lexer::{Argument, Fault, Placed, Token, tokens},
};
use crate::jobs::{state::JobState, validate::label_key};

const FIELDS: &str = "state, id, display_name, created_by, pipe, labels.KEY, percentage, create_time, start_time, update_time, end_time";

pub(super) fn parse(text: &str) -> Result<Filter, Fault> {
    if text.len() > MAX_FILTER_BYTES {
        return Err(fault(
            1,
            format!("it must be at most {MAX_FILTER_BYTES} bytes"),
        ));
    }
    if let Some(at) = text.chars().position(|char| char == '\0') {
        return Err(fault(at + 1, "U+0000 is not allowed"));
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        end: text.chars().count() + 1,
        restrictions: 0,
    };
    let filter = parser.expression(0)?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.unexpected("a restriction")),
    }
}

fn fault(at: usize, what: impl Into<String>) -> Fault {
    Fault {
        at,
        what: what.into(),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    end: usize,
    restrictions: usize,
}

/// What a field can be compared with.
enum Field {
    State,
    Text(TextField),
    Label(String),
    Labels,
    Percentage,
    Time(TimeField),
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens
            .get(self.at)
            .map_or(self.end, |(place, _)| *place)
    }

    fn next(&mut self) -> Option<Placed> {
        let next = self.tokens.get(self.at).cloned();
        self.at += 1;
        next
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(text)) if text == word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.at += usize::from(is);
        is
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        match self.peek() {
            None => fault(self.place(), format!("it ends where {wanted} is expected")),
            Some(_) => fault(self.place(), format!("{wanted} is expected here")),
        }
    }

    /// Factors, joined by AND or side by side.
    fn expression(&mut self, depth: usize) -> Result<Filter, Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(
                self.place(),
                format!("it is nested more than {MAX_DEPTH} deep"),
            ));
        }
        let mut parts = Vec::new();
        if depth == 0 && self.peek().is_none() {
            return Ok(Filter::All(parts));
        }
        loop {
            parts.push(self.factor(depth)?);
            let joined = self.take_word("AND");
            let over = matches!(self.peek(), None | Some(Token::Close));
            if over && joined {
                return Err(self.unexpected("a restriction"));
            }
            if over {
                return Ok(one_or(parts, Filter::All));
            }
        }
    }

    /// Terms, joined by OR.
    fn factor(&mut self, depth: usize) -> Result<Filter, Fault> {
        let mut parts = vec![self.term(depth)?];
        while self.take_word("OR") {
            parts.push(self.term(depth)?);
        }
        Ok(one_or(parts, Filter::Any))
    }

    fn term(&mut self, depth: usize) -> Result<Filter, Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(
                self.place(),
                format!("it is nested more than {MAX_DEPTH} deep"),
            ));
        }
        if self.is_word("NOT") || self.peek() == Some(&Token::Minus) {
            self.at += 1;
            return Ok(Filter::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.at += 1;
            let inner = self.expression(depth + 1)?;
            return match self.next() {
                Some((_, Token::Close)) => Ok(inner),
                _ => {
                    self.at -= 1;
                    Err(self.unexpected("a closing parenthesis"))
                }
            };
        }
        self.restriction()
    }

    fn restriction(&mut self) -> Result<Filter, Fault> {
        let place = self.place();
        self.restrictions += 1;
        if self.restrictions > MAX_RESTRICTIONS {
            return Err(fault(
                place,
                format!("it has more than {MAX_RESTRICTIONS} restrictions"),
            ));
        }
        let field = self.field()?;
        let Some(Token::Comparator(comparator)) = self.peek().cloned() else {
            return Err(self.unexpected("one of = != < <= > >= :"));
        };
        self.at += 1;
        let mut parts = Vec::new();
        for (place, argument) in self.arguments()? {
            parts.push(restrict(&field, comparator, argument).map_err(|what| fault(place, what))?);
        }
        Ok(match comparator {
            "!=" => Filter::Not(Box::new(one_or(parts, Filter::Any))),
            _ => one_or(parts, Filter::Any),
        })
    }

    fn field(&mut self) -> Result<Field, Fault> {
        let place = self.place();
        let Some(Token::Word(word)) = self.peek().cloned() else {
            return Err(self.unexpected("a field"));
        };
        if matches!(word.as_str(), "AND" | "OR" | "NOT") {
            return Err(self.unexpected("a restriction"));
        }
        self.at += 1;
        if word == "labels" && self.peek() == Some(&Token::Dot) {
            self.at += 1;
            let Some((place, Token::Quoted(key))) = self.next() else {
                return Err(fault(place, "a label's name is expected"));
            };
            return label(key.text, place);
        }
        if let Some(key) = word.strip_prefix("labels.") {
            return label(key.to_owned(), place);
        }
        Ok(match word.as_str() {
            "state" => Field::State,
            "id" => Field::Text(TextField::Id),
            "display_name" | "name" => Field::Text(TextField::DisplayName),
            // `creator` in the filters of bulk jobs that an earlier version created.
            "created_by" | "creator" => Field::Text(TextField::CreatedBy),
            "pipe" => Field::Text(TextField::Pipe),
            "labels" => Field::Labels,
            "percentage" => Field::Percentage,
            "create_time" => Field::Time(TimeField::Create),
            "start_time" => Field::Time(TimeField::Start),
            "update_time" => Field::Time(TimeField::Update),
            "end_time" => Field::Time(TimeField::End),
            _ => {
                return Err(fault(
                    place,
                    format!("{word:?} is none of the fields {FIELDS}"),
                ));
            }
        })
    }

    /// One argument, or several in parentheses, joined by OR.
    fn arguments(&mut self) -> Result<Vec<(usize, Argument)>, Fault> {
        if self.peek() != Some(&Token::Open) {
            return Ok(vec![self.argument()?]);
        }
        self.at += 1;
        let mut arguments = vec![self.argument()?];
        while self.take_word("OR") {
            arguments.push(self.argument()?);
        }
        match self.next() {
            Some((_, Token::Close)) if arguments.len() <= MAX_RESTRICTIONS => Ok(arguments),
            Some((place, Token::Close)) => Err(fault(
                place,
                format!("a list has at most {MAX_RESTRICTIONS} entries"),
            )),
            _ => {
                self.at -= 1;
                Err(self.unexpected("OR or a closing parenthesis"))
            }
        }
    }

    fn argument(&mut self) -> Result<(usize, Argument), Fault> {
        let argument = match self.peek().cloned() {
            Some(Token::Word(text)) => text.into(),
            Some(Token::Quoted(argument)) => argument,
            _ => return Err(self.unexpected("a value")),
        };
        let place = self.place();
        self.at += 1;
        Ok((place, argument))
    }
}

fn one_or(mut parts: Vec<Filter>, many: impl FnOnce(Vec<Filter>) -> Filter) -> Filter {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

fn label(key: String, place: usize) -> Result<Field, Fault> {
    match label_key(&key) {
        true => Ok(Field::Label(key)),
        false => Err(fault(place, format!("{key:?} cannot be a label's name"))),
    }
}

/// One restriction; `!=` is made of `=` by the caller.
fn restrict(
    field: &Field,
    comparator: &'static str,
    Argument { text, parts }: Argument,
) -> Result<Filter, String> {
    let argument = text.as_str();
    let equality = matches!(comparator, "=" | "!=");
    match field {
        Field::State if equality || comparator == ":" => state(argument).map(Filter::State),
        Field::Text(field) if equality => Ok(Filter::Text(*field, TextTest::of(parts))),
        Field::Text(field) if comparator == ":" => Ok(Filter::Text(*field, part(parts))),
        Field::Label(key) if equality => {
            Ok(Filter::Label(key.clone(), Some(TextTest::of(parts))))
        }
        Field::Label(key) if comparator == ":" => {
            let is_anything = parts.len() == 2 && parts.iter().all(String::is_empty);
            let test = (!is_anything).then(|| part(parts));
            Ok(Filter::Label(key.clone(), test))
        }
        Field::Labels if comparator == ":" && label_key(argument) => {
            Ok(Filter::Label(argument.to_owned(), None))
        }
        Field::Labels => Err("labels are compared by name, as in labels.team = blue, or looked for, as in labels:team".to_owned()),
        Field::Percentage => {
            let number: f64 = argument.parse().map_err(|_| format!("{argument:?} is no number"))?;
            let fits = (0.0..=100.0).contains(&number);
            let comparison = comparison(comparator)?;
            fits.then_some(Filter::Percentage(comparison, number))
                .ok_or_else(|| "a percentage is 0 to 100".to_owned())
        }
        Field::Time(field) => {
            let time: jiff::Timestamp = argument
                .parse()
                .map_err(|_| format!("{argument:?} is no time such as 2030-01-31T08:00:00Z"))?;
            Ok(Filter::Time(*field, comparison(comparator)?, time.as_microsecond()))
        }
        Field::State | Field::Text(_) | Field::Label(_) => {
            Err(format!("{comparator} does not fit this field; it can be compared with = != :"))
        }
    }
}

/// Whether a text has these parts in it.
fn part(parts: Vec<String>) -> TextTest {
    let anything = vec![String::new()];
    TextTest::of([anything.clone(), parts, anything].concat())
}

fn comparison(comparator: &'static str) -> Result<Comparison, String> {
    Ok(match comparator {
        "=" | "!=" => Comparison::Equal,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => {
            return Err(format!(
                "{comparator} does not fit this field; it can be compared with = != < <= > >="
            ));
        }
    })
}

fn state(name: &str) -> Result<JobState, String> {
    Ok(match name {
        "WAITING" => JobState::Waiting,
        "ACTIVE" => JobState::Active,
        "PAUSED" => JobState::Paused,
        "COMPLETED" => JobState::Completed,
        "FAILED" => JobState::Failed,
        "CANCELLED" => JobState::Cancelled,
        _ => {
            return Err(format!(
                "{name:?} is none of the states WAITING, ACTIVE, PAUSED, COMPLETED, FAILED, CANCELLED"
            ));
        }
    })
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
