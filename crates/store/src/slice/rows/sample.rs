//! Rows of the history of a job's progress.

use headway_domain::jobs::Sample;

use crate::{db::table::table, error::StoreError, ground::numbers::unsigned};

table! {
    /// A row of `sample`.
    pub(crate) struct SampleRow as "s";
    const SAMPLE = "sample";
    fn sample_cells(job_key: i64, sample: &Sample) {}
    key_only job_key: i64 = job_key,
    key at: i64 = sample.time,
    done: i64 = sample.done,
    failed: i64 = sample.failed,
    in_flight: i64 = sample.in_flight,
    known: i64 = sample.known,
    run: i64 = sample.run,
}

impl TryFrom<SampleRow> for Sample {
    type Error = StoreError;

    fn try_from(row: SampleRow) -> Result<Self, StoreError> {
        Ok(Self {
            time: row.at,
            done: unsigned(row.done)?,
            failed: unsigned(row.failed)?,
            in_flight: unsigned(row.in_flight)?,
            known: unsigned(row.known)?,
            run: unsigned(row.run)?,
        })
    }
}
