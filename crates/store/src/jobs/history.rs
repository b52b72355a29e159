//! The history of a job's progress.

use headway_domain::{JobName, jobs::Sample};

use crate::{error::StoreError, slice::rows::sample::SampleRow, store::Store};

/// Samples of a job that are read at most, the newest.
const MAX_SAMPLES: i64 = 2000;

impl Store {
    /// How far a job was over its life, oldest first, at most the newest 2,000 samples.
    ///
    /// # Errors
    /// [`headway_domain::Error::JobNotFound`].
    pub async fn job_history(&self, name: &JobName) -> Result<Vec<Sample>, StoreError> {
        let db = &self.db;
        let meta = self.named(name).await?;
        let sql = format!(
            "SELECT {} FROM sample s WHERE s.job_key = $1 ORDER BY s.at DESC LIMIT $2",
            SampleRow::COLUMNS
        );
        let values = [meta.key.into(), MAX_SAMPLES.into()];
        let mut rows: Vec<SampleRow> = db.all(db.reader(), sql, values).await?;
        rows.reverse();
        rows.into_iter().map(Sample::try_from).collect()
    }
}
