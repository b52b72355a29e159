//! Filters of jobs: a subset of the filter language of AIP-160 (google.aip.dev/160), parsed into a
//! tree of restrictions.
//!
//! `state = ACTIVE AND labels.team = "blue" AND NOT display_name = "test*"`. OR binds more tightly
//! than AND, as AIP-160 has it; restrictions side by side are joined by AND; an argument may be a
//! list, `state = (FAILED OR CANCELLED)`.

mod lexer;
mod matching;
mod parser;

pub use matching::MILLIONTHS_PER_PERCENT;

use crate::{error::Error, jobs::state::JobState, values::time::Micros};

/// Bytes of a filter.
pub const MAX_FILTER_BYTES: usize = 8192;
/// Restrictions in a filter.
pub const MAX_RESTRICTIONS: usize = 100;
/// How deep parentheses and NOT may be nested.
pub const MAX_DEPTH: usize = 16;

/// What a job must be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these hold; an empty list holds.
    All(Vec<Filter>),
    /// One of these holds.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// The job's state.
    State(JobState),
    /// A text of the job.
    Text(TextField, TextTest),
    /// The job has a label of this name, whose value passes.
    Label(String, Option<TextTest>),
    /// The percentage, 0 to 100.
    Percentage(Comparison, f64),
    /// A time of the job; an unset time matches nothing.
    Time(TimeField, Comparison, Micros),
}

/// A text of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextField {
    /// Its id.
    Id,
    /// Its display name.
    DisplayName,
    /// Who created it.
    CreatedBy,
    /// The pipe that its items enter first.
    Pipe,
}

/// A time of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeField {
    /// When it was accepted.
    Create,
    /// When its first work was released.
    Start,
    /// When it last changed.
    Update,
    /// When it ended.
    End,
}

/// How numbers and times are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What a text must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextTest {
    /// Exactly this.
    Equals(String),
    /// These parts, with anything between two of them: `a*b` is `a` and `b`, `*a` is nothing and
    /// `a`.
    Pattern(Vec<String>),
}

impl TextTest {
    /// A text in which every `*` stands for anything.
    #[cfg(test)]
    fn new(text: &str) -> Self {
        Self::of(lexer::Argument::from(text.to_owned()).parts)
    }

    /// A text by its parts, with anything between two of them.
    fn of(parts: Vec<String>) -> Self {
        match <[String; 1]>::try_from(parts) {
            Ok([text]) => Self::Equals(text),
            Err(parts) => Self::Pattern(parts),
        }
    }
}

impl Filter {
    /// Parses a filter; an empty one matches every job.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the field `filter`, with the place and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parser::parse(text).map_err(|fault| Error::field("filter", fault.to_string()))
    }

    /// Whether it matches every job.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    /// The states that the filter restricts jobs to, if it does.
    pub fn states(&self) -> Option<Vec<JobState>> {
        match self {
            Self::State(state) => Some(vec![*state]),
            Self::Any(parts) => {
                let states = parts.iter().map(|part| match part {
                    Self::State(state) => Some(*state),
                    _ => None,
                });
                states.collect()
            }
            Self::All(parts) => parts.iter().find_map(Self::states),
            _ => None,
        }
    }

    /// The id that the filter restricts jobs to, if it does.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Text(TextField::Id, TextTest::Equals(id)) => Some(id),
            Self::All(parts) => parts.iter().find_map(Self::id),
            _ => None,
        }
    }

    /// A label and value that the filter restricts jobs to, if it does.
    pub fn label(&self) -> Option<(&str, &str)> {
        match self {
            Self::Label(name, Some(TextTest::Equals(value))) => Some((name, value)),
            Self::All(parts) => parts.iter().find_map(Self::label),
            _ => None,
        }
    }
}

/// The order of a list of jobs. Ties are broken by age, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOrder {
    /// By what.
    pub by: OrderField,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// What jobs can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderField {
    /// When they were accepted.
    CreateTime,
    /// Their ids.
    Id,
    /// Their display names.
    DisplayName,
}

impl Default for JobOrder {
    fn default() -> Self {
        Self {
            by: OrderField::CreateTime,
            descending: true,
        }
    }
}

impl JobOrder {
    /// Reads an order, as in `display_name desc`; an empty one is `create_time desc`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the field `order_by`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (field, descending) = match words.as_slice() {
            [] => return Ok(Self::default()),
            [field] | [field, "asc"] => (*field, false),
            [field, "desc"] => (*field, true),
            _ => {
                return Err(Error::field(
                    "order_by",
                    "must be a field, and asc or desc after it",
                ));
            }
        };
        let by = match field {
            "create_time" => OrderField::CreateTime,
            "id" => OrderField::Id,
            "display_name" | "name" => OrderField::DisplayName,
            _ => {
                return Err(Error::field(
                    "order_by",
                    format!("must be create_time, id or display_name, not {field:?}"),
                ));
            }
        };
        Ok(Self { by, descending })
    }
}
