//! Releasing again what rests on lost messages.

use headway_domain::{Micros, batches::PageState};
use sea_orm::FromQueryResult;

use crate::{
    db::{Durability, keys},
    deployment::{epoch::EPOCH_COLUMN, unreadable::Source},
    error::StoreError,
    ground::{codes::Code, committed::Committed, numbers::unsigned},
    slice::rows::progress::LIVE,
    store::Store,
};

/// A job with pages out about which no report came for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentJob {
    /// Its key.
    pub key: i64,
    /// The shard that its reports go to.
    pub shard: u16,
}

#[derive(Debug, FromQueryResult)]
struct SilentRow {
    job_key: i64,
    shard: i64,
}

impl Store {
    /// The jobs of a pipe in these shards, by key, with pages out about which no report came since
    /// `before`.
    pub async fn silent_jobs(
        &self,
        pipe: &str,
        before: Micros,
        shards: &[u16],
    ) -> Result<Vec<SilentJob>, StoreError> {
        let [splitting, open] = [PageState::Splitting, PageState::Open].map(Code::code);
        let is_splitting = match self.db.is_sqlite() {
            true => format!("(p.state = {splitting})"),
            false => format!("(p.state = {splitting})::int"),
        };
        let sql = format!(
            "SELECT j.job_key, j.shard FROM job_progress j WHERE j.live = {LIVE} AND j.pipe = $1 AND {} AND EXISTS ( \
               SELECT 1 FROM page p WHERE p.job_key = j.job_key AND p.run = j.run AND p.state IN ({splitting}, {open}) \
                 AND p.released + {is_splitting} > 0 AND p.touched < $2 \
             ) AND {} ORDER BY j.job_key LIMIT 1000",
            self.db.is_in("j.shard", 3),
            self.db.job_not_set_aside("j.job_key", 4)
        );
        let shards = keys::ints(shards.iter().map(|shard| i64::from(*shard)));
        let values = [pipe.into(), before.into(), shards, self.db.now().into()];
        let rows: Vec<SilentRow> = self.db.all(self.db.work_reader(), &sql, values).await?;
        rows.into_iter()
            .map(|row| {
                Ok(SilentJob {
                    key: row.job_key,
                    shard: unsigned(row.shard)?,
                })
            })
            .collect()
    }

    /// Jobs that have not settled and have pages out that were released in an older broker epoch.
    pub async fn jobs_of_older_epochs(&self) -> Result<Vec<i64>, StoreError> {
        let sql = format!("SELECT {EPOCH_COLUMN}");
        let row = self.db.row(self.db.work_reader(), sql, []).await?;
        let epoch = self.db.epoch_of(row.as_ref())?;
        let [splitting, open] = [PageState::Splitting, PageState::Open].map(Code::code);
        let sql = format!(
            "SELECT j.job_key AS value FROM job_progress j WHERE j.live = {LIVE} AND EXISTS ( \
               SELECT 1 FROM page p WHERE p.job_key = j.job_key AND p.run = j.run AND p.state IN ({splitting}, {open}) AND p.epoch < $1 AND p.touched > 0 \
                 AND (p.state = {splitting} OR p.released > 0) \
             ) AND {} ORDER BY j.job_key LIMIT 1000",
            self.db.job_not_set_aside("j.job_key", 2)
        );
        self.keys(&sql, [epoch.into(), self.db.now().into()]).await
    }

    /// Releases again what rests on lost messages in pages of a job that were not touched since
    /// `before`, or were released in an older epoch. Some pages a call; whether there may be more.
    /// A job that cannot be read is set aside.
    pub async fn repair_job(
        &self,
        key: i64,
        before: Micros,
    ) -> Result<(Committed, bool), StoreError> {
        match self.repair_pages(key, before).await {
            Err(error) if !error.is_passing() => {
                self.set_aside(Source::Job, &key.to_string(), &error)
                    .await?;
                Ok((Committed::default(), false))
            }
            result => result,
        }
    }

    async fn repair_pages(
        &self,
        key: i64,
        before: Micros,
    ) -> Result<(Committed, bool), StoreError> {
        let Some(meta) = self.meta_by_key(key).await? else {
            return Ok((Committed::default(), false));
        };
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let Some(mut slice) = db.lock_job(&tx, &meta).await? else {
            return Ok((Committed::default(), false));
        };
        let [splitting, open] = [PageState::Splitting, PageState::Open].map(Code::code);
        let sql = format!(
            "SELECT number AS value FROM page WHERE job_key = $1 AND state IN ({splitting}, {open}) AND (touched < $2 OR epoch < $3) \
             AND (state = {splitting} OR released > 0) AND run = $4 ORDER BY number LIMIT 64"
        );
        let values = [
            key.into(),
            before.into(),
            slice.moment().epoch.into(),
            i64::from(slice.job().run).into(),
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
        slice.repair(&pages, before);
        if slice.has_changed() {
            db.advance(&tx, &mut slice).await?;
        }
        let more = pages.len() == 64;
        let committed = db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        Ok((committed, more))
    }
}
