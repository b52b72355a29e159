//! The history of a job's progress.

use headway_domain::{JobName, history::Sample};
use sea_orm::FromQueryResult;

use crate::{error::StoreError, ground::numbers::unsigned, store::Store};

/// Samples of a job that are read at most, the newest.
const MAX_SAMPLES: i64 = 2000;

#[derive(Debug, FromQueryResult)]
struct SampleRow {
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
        let mut rows: Vec<SampleRow> = self
            .db
            .all(self.db.reader(), sql, [meta.key.into(), MAX_SAMPLES.into()])
            .await?;
        rows.reverse();
        let sample = |row: SampleRow| {
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
