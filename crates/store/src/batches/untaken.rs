//! Ended jobs whose items are still out, and taking back those that no worker took.

use headway_domain::batches::PageState;
use sea_orm::FromQueryResult;

use crate::{
    db::Durability,
    error::StoreError,
    ground::{codes::Code, committed::Committed, numbers::unsigned},
    slice::rows::progress::LIVE,
    store::Store,
};

/// Jobs that one look finds at most.
const MAX_JOBS_FOUND: i64 = 1000;

/// Pages that one transaction takes back at most.
const MAX_PAGES_PER_TX: usize = 64;

/// A pipe in which, or at whose workers, items of an ended job may be.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct UnsettledJob {
    /// The key of the job's rows.
    pub job_key: i64,
    /// The pipe.
    pub pipe: String,
}

impl Store {
    /// Jobs that ended and have not settled, the oldest first, with the pipes that their items may
    /// be in.
    pub async fn unsettled_jobs(&self) -> Result<Vec<UnsettledJob>, StoreError> {
        let sql = format!(
            "WITH ended AS (SELECT job_key, pipe FROM job_progress WHERE live = {LIVE} AND ended > 0 ORDER BY job_key LIMIT $1) \
             SELECT job_key, pipe FROM ended \
             UNION SELECT i.job_key, i.pipe FROM ended e JOIN item i ON i.job_key = e.job_key AND i.forwarded = 1"
        );
        self.db
            .all(self.db.work_reader(), sql, [MAX_JOBS_FOUND.into()])
            .await
    }

    /// Has requests of ended jobs published now that wait in the outbox for a pipe to take messages
    /// again: batch workers then take the items back.
    pub async fn hasten_deferred(&self) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE outbox SET created = 0 WHERE created > $1 AND uid IN ( \
               SELECT j.uid FROM job_progress p JOIN job j ON j.job_key = p.job_key WHERE p.live = {LIVE} AND p.ended > 0)"
        );
        self.db.run_alone(sql, [self.db.now().into()]).await?;
        Ok(())
    }

    /// Discards the items of an ended job that are out in a pipe from which nobody takes messages.
    /// Some pages a call, after a number; the number to go on after, if there may be more.
    pub async fn discard_untaken(
        &self,
        key: i64,
        pipe: &str,
        after: u32,
    ) -> Result<(Committed, Option<u32>), StoreError> {
        let Some(meta) = self.meta_by_key(key).await? else {
            return Ok((Committed::default(), None));
        };
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let Some(mut slice) = db.lock_job(&tx, &meta).await? else {
            return Ok((Committed::default(), None));
        };
        let sql = format!(
            "SELECT number AS value FROM page WHERE job_key = $1 AND state = {} AND released > 0 AND run = $2 AND number > $3 \
             ORDER BY number LIMIT $4",
            PageState::Open.code()
        );
        let values = [
            key.into(),
            i64::from(slice.job().run).into(),
            i64::from(after).into(),
            i64::try_from(MAX_PAGES_PER_TX).unwrap_or(i64::MAX).into(),
        ];
        let rows = db.rows(&*tx, sql, values).await?;
        let mut pages = Vec::with_capacity(rows.len());
        for row in &rows {
            pages.push(unsigned::<u32>(row.try_get::<i64>("", "value")?)?);
        }
        let list: Vec<_> = pages.iter().map(|page| (key, *page)).collect();
        db.load_pages(&tx, std::slice::from_mut(&mut slice), &list)
            .await?;
        db.load_items_of(&tx, &mut slice, &pages).await?;
        slice.discard_unconsumed(&pages, pipe);
        if slice.has_changed() {
            db.advance(&tx, &mut slice).await?;
        }
        let next = pages
            .last()
            .copied()
            .filter(|_| pages.len() == MAX_PAGES_PER_TX);
        let committed = db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        Ok((committed, next))
    }
}
