//! The syntax of globs, as a regular expression over characters.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// What is wrong in a glob, and at which character, from 1.
#[derive(Debug)]
pub(super) struct Fault {
    pub what: &'static str,
    pub at: usize,
}

/// The regular expression of a glob.
///
/// # Errors
/// [`Fault`].
pub(super) fn expression(glob: &str) -> Result<String, Fault> {
    let mut translation = Translation {
        rest: glob.chars().peekable(),
        at: 0,
        last: None,
        open: Vec::new(),
        out: String::from("(?s)\\A"),
    };
    while let Some(letter) = translation.next() {
        translation.letter(letter)?;
    }
    if let Some(at) = translation.open.pop() {
        let what = "has a `{` without `}`";
        return Err(Fault { what, at });
    }
    translation.out.push_str("\\z");
    Ok(translation.out)
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    /// How many characters were read.
    at: usize,
    /// The character before the one that was read last.
    last: Option<char>,
    /// Where the groups begin that are open.
    open: Vec<usize>,
    out: String,
}

impl Translation<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        self.at += 1;
        Some(letter)
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { what, at: self.at })
    }

    fn letter(&mut self, letter: char) -> Result<(), Fault> {
        let before = self.last.replace(letter);
        match letter {
            '*' => self.star(before),
            '?' => self.out.push_str("[^/]"),
            '[' => self.class()?,
            '{' => {
                self.open.push(self.at);
                self.out.push_str("(?:");
            }
            ',' if !self.open.is_empty() => self.out.push('|'),
            '}' => match self.open.pop() {
                Some(_) => self.out.push(')'),
                None => return self.fault("has a `}` without `{`"),
            },
            '\\' => match self.next() {
                Some(letter) => {
                    self.last = None;
                    self.code(letter);
                }
                None => return self.fault("has a `\\` at its end,"),
            },
            letter => self.code(letter),
        }
        Ok(())
    }

    /// One star stays within a folder. Two that are all of a part stand for any number of folders,
    /// also none.
    fn star(&mut self, before: Option<char>) {
        if self.rest.peek() != Some(&'*') {
            return self.out.push_str("[^/]*");
        }
        while self.rest.peek() == Some(&'*') {
            self.next();
        }
        let begins = match before {
            None => self.out.ends_with("\\A"),
            Some(letter) => letter == '/' || (matches!(letter, '{' | ',') && !self.open.is_empty()),
        };
        match self.rest.peek() {
            Some('/') if begins => {
                self.next();
                self.last = Some('/');
                self.out.push_str("(?:.*/)?");
            }
            None | Some(',' | '}') if begins => self.out.push_str(".*"),
            _ => self.out.push_str("[^/]*"),
        }
    }

    /// A class of characters, without `/`.
    fn class(&mut self) -> Result<(), Fault> {
        let begin = self.at;
        let unclosed = Fault {
            what: "has a class without `]`",
            at: begin,
        };
        self.out.push_str("[[");
        if matches!(self.rest.peek(), Some('!' | '^')) {
            self.next();
            self.out.push('^');
        }
        let first = self.at + 1;
        loop {
            let Some(low) = self.next() else {
                return Err(unclosed);
            };
            if low == ']' && self.at > first {
                break;
            }
            let mut ahead = self.rest.clone();
            let range = ahead.next() == Some('-') && !matches!(ahead.next(), None | Some(']'));
            if !range {
                self.code(low);
                continue;
            }
            self.next();
            let Some(high) = self.next() else {
                return Err(unclosed);
            };
            if high < low {
                return self.fault("has a range that ends before it begins,");
            }
            self.code(low);
            self.out.push('-');
            self.code(high);
        }
        self.out.push_str("]&&[^/]]");
        Ok(())
    }

    /// A character that stands for itself.
    fn code(&mut self, letter: char) {
        // Writing to a string cannot fail.
        let _ = write!(self.out, "\\x{{{:x}}}", u32::from(letter));
    }
}
