//! Records beside the job's rows: events of the audit log, and the history of the progress.

mod events;
mod history;
