//! How fast pipes drain, and what a new job may send because of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use headway_domain::Micros;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{db::Durability, error::StoreError, pipes::Pipes};

/// The rates of a process that published none for so long do not count.
pub(crate) const SILENT_US: Micros = 5_000_000;

#[derive(Debug, FromQueryResult)]
pub(crate) struct RateRow {
    pub(crate) pipe: String,
    pub(crate) rate: f64,
}

impl Pipes<'_> {
    /// Publishes the rates that one tracking process measured, and forgets those of processes that
    /// fell silent.
    pub async fn publish_rates(
        self,
        owner: Uuid,
        rates: &BTreeMap<String, f64>,
        silent: Micros,
    ) -> Result<(), StoreError> {
        let db = &self.store.db;
        let tx = db.write(Durability::Process).await?;
        let now = db.now();
        for (pipe, rate) in rates {
            let sql = "INSERT INTO pipe_rate (pipe, owner, rate, updated) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (pipe, owner) DO UPDATE SET rate = excluded.rate, updated = excluded.updated";
            let values = [
                pipe.as_str().into(),
                owner.as_bytes().to_vec().into(),
                (*rate).into(),
                now.into(),
            ];
            db.run(&*tx, sql, values).await?;
        }
        db.run(
            &*tx,
            "DELETE FROM pipe_rate WHERE updated < $1",
            [(now - silent).into()],
        )
        .await?;
        tx.commit().await
    }
}

/// What a new job may have out before its pipe's credit is shared out, where nothing is known of
/// the pipe or others want more of it too.
pub(crate) const FIRST_ALLOWANCE: u32 = 128;

/// The part of a second that a new job may send to a pipe that nobody else wants more of.
const FIRST_SECONDS: f64 = 0.5;

/// How old the knowledge may be that first allowances are judged by.
const CACHE_TTL: Duration = Duration::from_millis(100);

impl Pipes<'_> {
    /// What a new job of this pipe may have out from the start: as much as the pipe drains in half
    /// a second if nobody else wants more of it, else a little, until the credit is shared out.
    pub(crate) async fn first_allowance(self, pipe: &str) -> u32 {
        let mut known = self.store.free_pipes.0.lock().await;
        if known
            .as_ref()
            .is_none_or(|(when, _)| when.elapsed() >= CACHE_TTL)
        {
            match self.free().await {
                Ok(pipes) => *known = Some((Instant::now(), pipes)),
                Err(error) => {
                    tracing::debug!(%error, "cannot read the rates of pipes; a new job starts with the usual allowance");
                    return FIRST_ALLOWANCE;
                }
            }
        }
        // The first one has it: a second job that comes at once shares like all others.
        let rate = known.as_mut().and_then(|(_, pipes)| pipes.remove(pipe));
        ((rate.unwrap_or(0.0) * FIRST_SECONDS) as u32).max(FIRST_ALLOWANCE)
    }

    async fn free(self) -> Result<BTreeMap<String, f64>, StoreError> {
        let db = &self.store.db;
        let sql = "SELECT r.pipe, sum(r.rate) AS rate FROM pipe_rate r WHERE r.updated >= $1 \
                   AND NOT EXISTS (SELECT 1 FROM job_progress p WHERE p.pipe = r.pipe AND p.hungry = 1) GROUP BY r.pipe";
        let rates: Vec<RateRow> = db
            .all(db.work_reader(), sql, [(db.now() - SILENT_US).into()])
            .await?;
        Ok(rates.into_iter().map(|row| (row.pipe, row.rate)).collect())
    }
}
