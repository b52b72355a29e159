//! Why pages are to be split again: kept while they are, for people who ask what a job waits for.

use headway_domain::{
    JobSlice, Micros, batches::PageState, limits, reports::Failed, values::text::clean,
};
use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Tx},
    error::StoreError,
    ground::numbers::unsigned,
};

/// Pages whose split failed in a passing way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRetry {
    /// How many there are.
    pub pages: u64,
    /// How often one of them was tried.
    pub tries: u64,
    /// When it may be split again; in the past while it is being split.
    pub due: Micros,
    /// Why it could not be split the last time.
    pub message: String,
}

#[derive(Debug, FromQueryResult)]
struct SplitRetryRow {
    pages: i64,
    tries: i64,
    due: i64,
    message: String,
}

impl Db {
    /// Keeps why a page is to be split again, or forgets it where it is not.
    pub(crate) async fn note_split_retry(
        &self,
        tx: &Tx<'_>,
        slice: &JobSlice,
        number: u32,
        failure: &Failed,
    ) -> Result<(), StoreError> {
        let key = slice.job().meta.key;
        let again = slice
            .page(number)
            .filter(|page| page.state != PageState::SplitFailed && page.tries > 0);
        let Some(page) = again else {
            return self.forget_split_retry(tx, key, number).await;
        };
        let sql = "INSERT INTO split_retry (job_key, page, tries, due, message) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (job_key, page) DO UPDATE \
                   SET tries = excluded.tries, due = excluded.due, message = excluded.message";
        let values = [
            key.into(),
            i64::from(number).into(),
            i64::from(page.tries).into(),
            page.due.unwrap_or(0).into(),
            clean(&failure.message, limits::MAX_TEXT_BYTES).into(),
        ];
        self.run(&**tx, sql, values).await?;
        Ok(())
    }

    /// Forgets a page that was split.
    pub(crate) async fn forget_split_retry(
        &self,
        tx: &Tx<'_>,
        key: i64,
        number: u32,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM split_retry WHERE job_key = $1 AND page = $2";
        self.run(&**tx, sql, [key.into(), i64::from(number).into()])
            .await?;
        Ok(())
    }

    /// How many pages of a job are to be split again, and about the one that was tried most often.
    pub(crate) async fn split_retry(&self, key: i64) -> Result<Option<SplitRetry>, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM split_retry WHERE job_key = $1) AS pages, tries, due, message \
                   FROM split_retry WHERE job_key = $1 ORDER BY tries DESC, page LIMIT 1";
        let row: Option<SplitRetryRow> = self.one(self.reader(), sql, [key.into()]).await?;
        row.map(|row| {
            Ok(SplitRetry {
                pages: unsigned(row.pages)?,
                tries: unsigned(row.tries)?,
                due: row.due,
                message: row.message,
            })
        })
        .transpose()
    }
}
