//! Rows of the history of a job's progress.

use headway_domain::history::Sample;

use crate::db::bulk::{Cell, Kind, Table};

pub(crate) const SAMPLE: Table = Table {
    name: "sample",
    keys: 2,
    insert_only: 0,
    columns: &[
        ("job_key", Kind::Int),
        ("at", Kind::Int),
        ("done", Kind::Int),
        ("failed", Kind::Int),
        ("in_flight", Kind::Int),
        ("known", Kind::Int),
        ("run", Kind::Int),
    ],
};

/// The cells of [`SAMPLE`].
pub(crate) fn sample_cells(job_key: i64, sample: &Sample) -> Vec<Cell> {
    vec![
        job_key.into(),
        sample.time.into(),
        sample.done.into(),
        sample.failed.into(),
        sample.in_flight.into(),
        sample.known.into(),
        sample.run.into(),
    ]
}
