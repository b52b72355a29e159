//! A filter's text as tokens.

use std::fmt;

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The character, from 1.
    pub at: usize,
    /// A clause.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is wrong at character {}: {}", self.at, self.what)
    }
}

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// A comparator: `=`, `!=`, `<`, `<=`, `>`, `>=`, `:`
    Comparator(&'static str),
    /// A word that is not in quotes.
    Word(String),
    /// A text in quotes, without them.
    Quoted(Argument),
    /// `.` between a field and what follows in quotes
    Dot,
    /// `-` before a restriction
    Minus,
}

/// A value that fields are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    /// Its text.
    pub text: String,
    /// The parts between the `*` that stand for anything. A `*` behind a backslash in quotes is not
    /// one of them.
    pub parts: Vec<String>,
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        let parts = text.split('*').map(ToOwned::to_owned).collect();
        Self { text, parts }
    }
}

/// A token and the character it begins at, from 1.
pub(super) type Placed = (usize, Token);

const COMPARATORS: [&str; 7] = ["!=", "<=", ">=", "=", "<", ">", ":"];

/// Splits a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Fault> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens: Vec<Placed> = Vec::new();
    let mut at = 0;
    while let Some(char) = chars.get(at).copied() {
        let place = at + 1;
        let after_comparator = matches!(tokens.last(), Some((_, Token::Comparator(_))));
        if char.is_whitespace() {
            at += 1;
        } else if char == '(' || char == ')' {
            let token = if char == '(' {
                Token::Open
            } else {
                Token::Close
            };
            tokens.push((place, token));
            at += 1;
        } else if char == '"' || char == '\'' {
            let (quoted, end) = quoted(&chars, at)?;
            tokens.push((place, Token::Quoted(quoted)));
            at = end;
        } else if let Some(comparator) = comparator(&chars[at..]).filter(|_| !after_comparator) {
            tokens.push((place, Token::Comparator(comparator)));
            at += comparator.len();
        } else if char == '-' && !after_comparator && starts_restriction(&tokens) {
            tokens.push((place, Token::Minus));
            at += 1;
        } else if char == '.' && matches!(chars.get(at + 1), Some('"' | '\'')) {
            tokens.push((place, Token::Dot));
            at += 1;
        } else {
            let in_list = after_comparator || is_argument(&tokens);
            let end = word_end(&chars, at, in_list);
            if end == at {
                return Err(Fault {
                    at: place,
                    what: format!("{char:?} is not expected here; put texts with it in quotes"),
                });
            }
            tokens.push((place, Token::Word(chars[at..end].iter().collect())));
            at = end;
        }
    }
    Ok(tokens)
}

fn starts_restriction(tokens: &[Placed]) -> bool {
    match tokens.last() {
        None | Some((_, Token::Open | Token::Close | Token::Quoted(_) | Token::Word(_))) => true,
        Some(_) => false,
    }
}

/// Whether the next word is in the list of a comparator: `state = (A OR `.
fn is_argument(tokens: &[Placed]) -> bool {
    let mut before = tokens.iter().rev();
    while let Some((_, token)) = before.next() {
        match token {
            Token::Open => return matches!(before.next(), Some((_, Token::Comparator(_)))),
            Token::Word(_) | Token::Quoted(_) => {}
            _ => return false,
        }
    }
    false
}

fn comparator(rest: &[char]) -> Option<&'static str> {
    COMPARATORS.into_iter().find(|comparator| {
        comparator
            .chars()
            .eq(rest.iter().copied().take(comparator.len()))
    })
}

/// Where a word ends. An argument goes on to the next blank or parenthesis, so that times need no
/// quotes; a field also to a comparator.
fn word_end(chars: &[char], from: usize, argument: bool) -> usize {
    let mut end = from;
    while let Some(char) = chars.get(end).copied() {
        let over = char.is_whitespace()
            || matches!(char, '(' | ')' | '"' | '\'')
            || (!argument && comparator(&chars[end..]).is_some())
            || (!argument && char == '.' && matches!(chars.get(end + 1), Some('"' | '\'')));
        if over {
            break;
        }
        end += 1;
    }
    end
}

/// A text in quotes, in which a backslash takes the next character as it is, and where it ends.
fn quoted(chars: &[char], from: usize) -> Result<(Argument, usize), Fault> {
    let quote = chars[from];
    let mut text = String::new();
    let mut parts = vec![String::new()];
    let mut at = from + 1;
    loop {
        let (char, is_plain) = match chars.get(at).copied() {
            None => {
                return Err(Fault {
                    at: from + 1,
                    what: "the text that begins here has no closing quote".to_owned(),
                });
            }
            Some('\\') => {
                at += 2;
                match chars.get(at - 1).copied() {
                    None => continue,
                    Some(char) => (char, true),
                }
            }
            Some(char) if char == quote => return Ok((Argument { text, parts }, at + 1)),
            Some(char) => {
                at += 1;
                (char, false)
            }
        };
        text.push(char);
        match parts.last_mut() {
            Some(part) if is_plain || char != '*' => part.push(char),
            _ => parts.push(String::new()),
        }
    }
}

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
