//! Filters as conditions of a statement: every value is bound, nothing of a client's text is part
//! of the statement.

use headway_domain::filter::{
    Comparison, Filter, MILLIONTHS_PER_PERCENT, TextField, TextTest, TimeField,
};
use sea_orm::Value;

use crate::{db::Db, ground::codes::Code};

/// Conditions over a job `j` and its progress `p`, and the values bound to them.
pub(crate) struct Conditions<'a> {
    db: &'a Db,
    /// The values bound so far, those of the rest of the statement included.
    pub values: Vec<Value>,
}

impl<'a> Conditions<'a> {
    /// Conditions of a statement that binds these values already.
    pub(crate) fn new(db: &'a Db, values: Vec<Value>) -> Self {
        Self { db, values }
    }

    /// Binds a value; its marker.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// A condition that is true of the jobs that the filter means, and never unknown.
    pub(crate) fn of(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::All(parts) => self.joined(parts, " AND ", "1 = 1"),
            Filter::Any(parts) => self.joined(parts, " OR ", "1 = 0"),
            Filter::Not(part) => format!("NOT {}", self.of(part)),
            Filter::State(state) => format!("(p.state = {})", state.code()),
            Filter::Text(field, test) => {
                let column = match field {
                    TextField::Id => "j.job_id",
                    TextField::DisplayName => "j.display_name",
                    TextField::CreatedBy => "j.creator",
                    TextField::Pipe => "p.pipe",
                };
                self.text(column, test)
            }
            Filter::Label(name, test) => {
                let name = self.bind(name.as_str());
                let value = match test {
                    Some(test) => format!(" AND {}", self.text("l.value", test)),
                    None => String::new(),
                };
                format!(
                    "EXISTS (SELECT 1 FROM label l WHERE l.job_key = j.job_key AND l.name = {name}{value})"
                )
            }
            Filter::Percentage(comparison, percent) => {
                let mark = self.bind(percent * MILLIONTHS_PER_PERCENT);
                let operator = operator(*comparison);
                format!("(p.percent_mark {operator} {})", self.double(&mark))
            }
            Filter::Time(field, comparison, time) => {
                let column = match field {
                    TimeField::Create => "j.created",
                    TimeField::Start => "p.started",
                    TimeField::Update => "p.updated",
                    TimeField::End => "p.ended",
                };
                let time = self.bind(*time);
                format!(
                    "({column} > 0 AND {column} {} {time})",
                    operator(*comparison)
                )
            }
        }
    }

    fn joined(&mut self, parts: &[Filter], by: &str, none: &str) -> String {
        let parts: Vec<_> = parts.iter().map(|part| self.of(part)).collect();
        match parts.is_empty() {
            true => format!("({none})"),
            false => format!("({})", parts.join(by)),
        }
    }

    fn text(&mut self, column: &str, test: &TextTest) -> String {
        match test {
            TextTest::Equals(text) => format!("({column} = {})", self.bind(text.as_str())),
            TextTest::Pattern(parts) if self.db.is_sqlite() => {
                // LIKE of SQLite does not tell capitals from small letters.
                let pattern = self.bind(glob(parts));
                format!("({column} GLOB {pattern})")
            }
            TextTest::Pattern(parts) => {
                let pattern = self.bind(like(parts));
                format!("({column} LIKE {pattern} ESCAPE '\\')")
            }
        }
    }

    fn double(&self, marker: &str) -> String {
        match self.db.is_sqlite() {
            true => marker.to_owned(),
            false => format!("{marker}::double precision"),
        }
    }
}

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn escaped(parts: &[String], escape: impl Fn(char) -> String, anything: &str) -> String {
    let parts = parts
        .iter()
        .map(|part| part.chars().map(&escape).collect::<String>());
    parts.collect::<Vec<_>>().join(anything)
}

fn like(parts: &[String]) -> String {
    let escape = |char| match char {
        '%' | '_' | '\\' => format!("\\{char}"),
        _ => char.to_string(),
    };
    escaped(parts, escape, "%")
}

fn glob(parts: &[String]) -> String {
    let escape = |char| match char {
        '*' | '?' | '[' => format!("[{char}]"),
        _ => char.to_string(),
    };
    escaped(parts, escape, "*")
}
