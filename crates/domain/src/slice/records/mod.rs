//! What is recorded beside the rows: events of the audit log, and the history of the progress.

mod events;
mod history;
