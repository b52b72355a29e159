//! Jobs that want more of their pipe.

use sea_orm::FromQueryResult;

use crate::{
    error::StoreError,
    pipes::{Pipes, credit::HungryJob},
    slice::rows::progress::{IN_FLIGHT, PROGRESS},
};

/// Jobs that share credit in one round, about: as many of each partition on each pipe as there is
/// room for, by priority, and of those of one priority the oldest.
const MAX_JOBS_SHARING: i64 = 4096;

/// This many of each partition on each pipe share in any case.
const MIN_JOBS_EACH: i64 = 4;

/// What is known of a job that shares.
fn columns() -> String {
    format!(
        "p.pipe, p.job_key, p.partition_id, p.allowance, p.delayed, p.tokens, p.carried, p.reopen, \
     j.items_per_message, p.priority, p.max_in_flight, \
     {IN_FLIGHT} AS in_flight, \
     p.unreleased + p.parked AS ready, p.unsplit + p.splitting AS unfound"
    )
}

#[derive(Debug, FromQueryResult)]
pub(crate) struct HungryRow {
    pub(crate) pipe: String,
    job_key: i64,
    partition_id: String,
    allowance: i64,
    in_flight: i64,
    delayed: i64,
    items_per_message: i64,
    priority: i64,
    max_in_flight: i64,
    ready: i64,
    unfound: i64,
    tokens: i64,
    carried: i64,
    reopen: i64,
}

/// A partition that wants more of a pipe.
#[derive(Debug, FromQueryResult)]
struct TurnRow {
    pipe: String,
    partition_id: String,
}

impl Pipes<'_> {
    /// The jobs that share, in one statement: from each partition on each pipe it leaps to the
    /// next, and reads the first of each.
    pub(crate) async fn hungry_at_once(self) -> Result<Vec<HungryRow>, StoreError> {
        let db = &self.store.db;
        let columns = columns();
        let sql = format!(
            "WITH RECURSIVE turn AS ( \
               (SELECT pipe, partition_id FROM job_progress WHERE hungry = 1 ORDER BY pipe, partition_id LIMIT 1) \
               UNION ALL SELECT n.pipe, n.partition_id FROM turn t CROSS JOIN LATERAL ( \
                 SELECT q.pipe, q.partition_id FROM job_progress q \
                 WHERE q.hungry = 1 AND (q.pipe, q.partition_id) > (t.pipe, t.partition_id) \
                 ORDER BY q.pipe, q.partition_id LIMIT 1) n \
             ) SELECT {columns} FROM turn t CROSS JOIN LATERAL ( \
               SELECT {} FROM job_progress q WHERE q.hungry = 1 AND q.pipe = t.pipe AND q.partition_id = t.partition_id \
               ORDER BY q.priority DESC, q.job_key LIMIT GREATEST($2, $1 / (SELECT GREATEST(count(*), 1) FROM turn)) \
             ) p JOIN job j ON j.job_key = p.job_key",
            PROGRESS.columns_of("q")
        );
        db.all(
            db.work_reader(),
            sql,
            [MAX_JOBS_SHARING.into(), MIN_JOBS_EACH.into()],
        )
        .await
    }

    /// The same where a statement costs no round trip, and joins cannot be lateral.
    pub(crate) async fn hungry_one_by_one(self) -> Result<Vec<HungryRow>, StoreError> {
        let db = &self.store.db;
        let next = "SELECT pipe, partition_id FROM job_progress WHERE hungry = 1 AND (pipe, partition_id) > ($1, $2) \
                    ORDER BY pipe, partition_id LIMIT 1";
        let mut turns: Vec<TurnRow> = Vec::new();
        loop {
            let (pipe, partition) = turns.last().map_or(("", ""), |turn| {
                (turn.pipe.as_str(), turn.partition_id.as_str())
            });
            match db
                .one(db.work_reader(), next, [pipe.into(), partition.into()])
                .await?
            {
                Some(turn) => turns.push(turn),
                None => break,
            }
        }
        let each = MAX_JOBS_SHARING / i64::try_from(turns.len().max(1)).unwrap_or(MAX_JOBS_SHARING);
        let columns = columns();
        let sql = format!(
            "SELECT {columns} FROM job_progress p JOIN job j ON j.job_key = p.job_key \
             WHERE p.hungry = 1 AND p.pipe = $1 AND p.partition_id = $2 ORDER BY p.priority DESC, p.job_key LIMIT $3"
        );
        let mut hungry = Vec::new();
        for turn in turns {
            let values = [
                turn.pipe.into(),
                turn.partition_id.into(),
                each.max(MIN_JOBS_EACH).into(),
            ];
            hungry.extend(db.all(db.work_reader(), sql.clone(), values).await?);
        }
        Ok(hungry)
    }
}

impl HungryRow {
    pub(crate) fn job(self) -> HungryJob {
        HungryJob {
            job_key: self.job_key,
            partition_id: self.partition_id,
            allowance: self.allowance,
            in_flight: self.in_flight,
            delayed: self.delayed,
            items_per_message: self.items_per_message,
            priority: self.priority,
            max_in_flight: self.max_in_flight,
            ready: self.ready,
            endless: self.unfound > 0,
            reopening: self.carried > 0 && self.reopen > 0,
            tokens: u32::try_from(self.tokens).ok(),
        }
    }
}
