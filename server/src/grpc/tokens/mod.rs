//! Opaque texts that clients send back: page tokens, resume tokens of watches, cursors of the audit
//! log. Any server reads the tokens of any other, and they grant nothing.

mod cursor;
mod page;
mod watch_job;
mod watch_jobs;

pub(crate) use cursor::{cursor_text, parse as parse_cursor};
pub(crate) use page::Query;
pub(crate) use watch_job::Shown;
pub(crate) use watch_jobs::Shows;
