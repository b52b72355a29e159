//! The history of a job's progress.

use headway_domain::{JobName, history::Sample};
use sea_orm::FromQueryResult;

use crate::{
    Store,
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
    rows::unsigned,
};

/// Samples of a job that are read at most, the newest.
const READ: i64 = 2000;

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

#[derive(Debug, FromQueryResult)]
struct Row {
    at: i64,
    done: i64,
    failed: i64,
    in_flight: i64,
    known: i64,
    run: i64,
}

impl Store {
    /// How far a job was over its life, oldest first, at most the newest 2,000 samples.
    ///
    /// # Errors
    /// [`headway_domain::Error::JobNotFound`].
    pub async fn job_history(&self, name: &JobName) -> Result<Vec<Sample>, StoreError> {
        let meta = self.named(name).await?;
        let sql = "SELECT at, done, failed, in_flight, known, run FROM sample WHERE job_key = $1 ORDER BY at DESC LIMIT $2";
        let mut rows: Vec<Row> = self
            .db
            .all(self.db.reader(), sql, [meta.key.into(), READ.into()])
            .await?;
        rows.reverse();
        let sample = |row: Row| {
            Ok(Sample {
                time: row.at,
                done: unsigned(row.done)?,
                failed: unsigned(row.failed)?,
                in_flight: unsigned(row.in_flight)?,
                known: unsigned(row.known)?,
                run: unsigned(row.run)?,
            })
        };
        rows.into_iter().map(sample).collect()
    }
}
