//! Which jobs use which pipes.

use headway_domain::jobs::bulk::RESERVED;
use sea_orm::FromQueryResult;

use crate::{
    error::StoreError,
    pipes::{Pipes, admit::PipeNameRow},
    slice::rows::progress::{IN_FLIGHT, LIVE},
};

/// Pipes that one look finds at most.
const MAX_UNUSED_PIPES: i64 = 1000;

/// Whether no job that has not settled uses the pipe `p.name`, nor any results.
fn unused_condition() -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM job_progress j WHERE j.live = {LIVE} AND j.hungry = 0 AND j.pipe = p.name) \
    AND NOT EXISTS (SELECT 1 FROM job_progress j WHERE j.hungry = 1 AND j.pipe = p.name) \
    AND NOT EXISTS (SELECT 1 FROM result_pipe r WHERE r.name = p.name) \
    AND p.name NOT IN (SELECT i.pipe FROM item i WHERE i.forwarded = 1)"
    )
}

impl Pipes<'_> {
    /// Pipes that no job uses which has not settled, by name.
    pub async fn unused(self) -> Result<Vec<String>, StoreError> {
        let db = &self.store.db;
        // Jobs that were retried use their pipe again.
        let sql = format!(
            "INSERT INTO pipe (partition_id, name) SELECT DISTINCT partition_id, pipe FROM job_progress WHERE live = {LIVE} \
                   ON CONFLICT (partition_id, name) DO NOTHING"
        );
        db.run_alone(sql, []).await?;
        let is_unused = unused_condition();
        let sql = format!(
            "SELECT DISTINCT p.name FROM pipe p WHERE {is_unused} ORDER BY p.name LIMIT $1"
        );
        let rows: Vec<PipeNameRow> = db
            .all(db.work_reader(), sql, [MAX_UNUSED_PIPES.into()])
            .await?;
        let names = rows.into_iter().map(|row| row.name);
        Ok(names.filter(|name| !name.starts_with(RESERVED)).collect())
    }

    /// Whether a pipe is known, and no job uses it which has not settled.
    pub async fn is_unused(self, name: &str) -> Result<bool, StoreError> {
        let db = &self.store.db;
        let is_unused = unused_condition();
        let sql = format!("SELECT count(*) AS value FROM pipe p WHERE p.name = $1 AND {is_unused}");
        let count = db.one_int(db.work_reader(), sql, [name.into()]).await?;
        Ok(count.unwrap_or(0) > 0)
    }

    /// Forgets a pipe unless a job uses it; whether it was forgotten.
    pub async fn forget(self, name: &str) -> Result<bool, StoreError> {
        let is_unused = unused_condition();
        let sql = format!(
            "DELETE FROM pipe WHERE name = $1 AND EXISTS (SELECT 1 FROM (SELECT $1 AS name) AS p WHERE {is_unused})"
        );
        let forgotten = self.store.db.run_alone(sql, [name.into()]).await?;
        Ok(forgotten > 0)
    }

    /// The keys of jobs on a pipe that have not settled.
    pub async fn jobs_on(self, name: &str) -> Result<Vec<i64>, StoreError> {
        let sql = format!(
            "SELECT job_key AS value FROM job_progress WHERE live = {LIVE} AND pipe = $1 ORDER BY job_key"
        );
        self.store.keys(&sql, [name.into()]).await
    }
}

#[derive(Debug, FromQueryResult)]
struct PipeRow {
    pipe: String,
}

impl Pipes<'_> {
    /// The pipes of jobs that have not settled.
    pub async fn live(self) -> Result<Vec<String>, StoreError> {
        let db = &self.store.db;
        let rows: Vec<PipeRow> = db
            .all(
                db.work_reader(),
                format!("SELECT DISTINCT pipe FROM job_progress WHERE live = {LIVE}"),
                [],
            )
            .await?;
        Ok(rows.into_iter().map(|row| row.pipe).collect())
    }

    /// The pipes, other than the one that a job's items enter first, that items of it were
    /// forwarded to.
    pub async fn forwarded_from(self, key: i64) -> Result<Vec<String>, StoreError> {
        let db = &self.store.db;
        let sql = "SELECT DISTINCT pipe FROM item WHERE job_key = $1 AND forwarded = 1";
        let rows: Vec<PipeRow> = db.all(db.work_reader(), sql, [key.into()]).await?;
        Ok(rows.into_iter().map(|row| row.pipe).collect())
    }

    /// How many messages of live jobs are in a pipe or at its workers at most: as many as items,
    /// because a message may have to hold fewer items than allowed. Duplicates and messages of
    /// deleted jobs are not in it.
    pub async fn messages_out(self, pipe: &str) -> Result<u64, StoreError> {
        let db = &self.store.db;
        let home = format!(
            "SELECT CAST(COALESCE(SUM({IN_FLIGHT} \
                      - (SELECT COUNT(*) FROM item i WHERE i.job_key = p.job_key AND i.forwarded = 1 AND i.due = 0)), 0) AS BIGINT) AS value \
                    FROM job_progress p WHERE p.live = {LIVE} AND p.pipe = $1"
        );
        let forwarded = format!(
            "SELECT CAST(COUNT(*) AS BIGINT) AS value FROM item i JOIN job_progress p ON p.job_key = i.job_key \
                         WHERE i.forwarded = 1 AND i.due = 0 AND i.pipe = $1 AND p.live = {LIVE}"
        );
        let mut messages = 0;
        for sql in [home, forwarded] {
            let count = db.one_int(db.work_reader(), sql, [pipe.into()]).await?;
            messages += count.unwrap_or(0).max(0);
        }
        Ok(messages.unsigned_abs())
    }
}
