//! Dead letters: failures of items whose messages the broker gave up.

use headway_domain::{
    JobId, PartitionId, PipeName,
    events::{Caller, EventKind},
    reports::code,
};
use sea_orm::{FromQueryResult, Value};

use crate::{
    db::{Db, Durability},
    error::StoreError,
    events::record::AuditEntry,
    ground::numbers::unsigned,
    pipes::Pipes,
    slice::rows::failure::{FAILURE, FailureRow},
};

/// Dead letters that one call drops at most.
const MAX_DROPPED: i64 = 10_000;

/// Which dead letters match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Of jobs of this partition.
    pub partition: PartitionId,
    /// Of jobs of this pipe.
    pub pipe: Option<PipeName>,
    /// Of this job.
    pub job: Option<JobId>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterView {
    /// Its job.
    pub job: JobId,
    /// The key of the job's rows.
    pub key: i64,
    /// The pipe of its job.
    pub pipe: String,
    /// How its item failed.
    pub failure: FailureRow,
}

#[derive(Debug, FromQueryResult)]
struct DeadLetterJobRow {
    job_key: i64,
    job_id: String,
    pipe: String,
}

impl DeadLetterFilter {
    /// What stands behind FROM, with `f` for the failures.
    fn source(&self, values: &mut Vec<Value>) -> String {
        values.push(self.partition.as_str().into());
        let mut sql = format!(
            "failure f JOIN job_progress p ON p.job_key = f.job_key AND p.run = f.run JOIN job j ON j.job_key = f.job_key \
             WHERE f.code = '{}' AND p.partition_id = ${}",
            code::DEAD_LETTERED,
            values.len()
        );
        if let Some(pipe) = &self.pipe {
            values.push(pipe.as_str().into());
            sql.push_str(&format!(" AND p.pipe = ${}", values.len()));
        }
        if let Some(job) = &self.job {
            values.push(job.as_str().into());
            sql.push_str(&format!(" AND j.job_id = ${}", values.len()));
        }
        sql
    }
}

impl Pipes<'_> {
    /// Lists dead letters, of the newest jobs first, after one that is named by the key of its job
    /// and its number there.
    pub async fn list_dead_letters(
        self,
        filter: &DeadLetterFilter,
        after: Option<(i64, i64)>,
        size: u32,
    ) -> Result<Vec<DeadLetterView>, StoreError> {
        let db: &Db = &self.store.db;
        let (key, seq) = after.unwrap_or((i64::MAX, i64::MAX));
        let mut values: Vec<Value> = vec![key.into(), seq.into(), i64::from(size).into()];
        let source = filter.source(&mut values);
        let sql = format!(
            "SELECT j.job_id, p.pipe, {} FROM {source} AND (f.job_key < $1 OR (f.job_key = $1 AND f.seq > $2)) \
             ORDER BY f.job_key DESC, f.seq LIMIT $3",
            FAILURE.columns_of("f")
        );
        let rows = db.rows(db.reader(), sql, values).await?;
        let view = |row: &sea_orm::QueryResult| {
            let of = DeadLetterJobRow::from_query_result(row, "")?;
            Ok(DeadLetterView {
                job: JobId::new(of.job_id)?,
                key: of.job_key,
                pipe: of.pipe,
                failure: FailureRow::from_query_result(row, "")?,
            })
        };
        rows.iter().map(view).collect()
    }

    /// Forgets what is known of some dead letters but that their items failed; how many, and
    /// whether there may be more. A rehearsal only counts them.
    pub async fn drop_dead_letters(
        self,
        filter: &DeadLetterFilter,
        caller: &Caller,
    ) -> Result<(u64, bool), StoreError> {
        let db = &self.store.db;
        if self.rehearse {
            let matching = self.count_dead_letters(filter).await?;
            return Ok((matching, matching == MAX_DROPPED as u64));
        }
        let mut values: Vec<Value> = vec![MAX_DROPPED.into(), code::DEAD_LETTER_DROPPED.into()];
        let source = filter.source(&mut values);
        let tx = db.write(Durability::Full).await?;
        let dropped = db.recode_failures(&tx, &source, values).await?;
        let mut message = format!("{dropped} dropped");
        if let Some(pipe) = &filter.pipe {
            message.push_str(&format!(" of the pipe {pipe}"));
        }
        if let Some(job) = &filter.job {
            message.push_str(&format!(" of the job {job}"));
        }
        let kind = EventKind::DeadLettersDropped;
        let change = AuditEntry::of_partition(kind, &filter.partition, message);
        db.record(&tx, change, caller).await?;
        self.end(tx).await?;
        Ok((dropped, dropped == MAX_DROPPED as u64))
    }

    /// How many match, as far as one call drops them. It locks nothing.
    async fn count_dead_letters(self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let db = &self.store.db;
        let mut values: Vec<Value> = vec![MAX_DROPPED.into()];
        let source = filter.source(&mut values);
        let sql =
            format!("SELECT count(*) AS value FROM (SELECT 1 FROM {source} LIMIT $1) AS matching");
        unsigned(db.one_int(db.reader(), sql, values).await?.unwrap_or(0))
    }
}
