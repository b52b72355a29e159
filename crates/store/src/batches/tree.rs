//! The tree of batches, summed up when it is looked at: what changes a job need not keep sums for
//! every level.

use std::sync::Arc;

use headway_domain::{Error, JobName, batches::PageState, jobs::JobMeta};
use sea_orm::FromQueryResult;

use crate::{
    db::keys,
    deployment::unreadable::Sorted,
    error::StoreError,
    ground::{
        codes::Code,
        numbers::{optional, unsigned},
    },
    slice::rows::batch::DEFINITION_BYTES,
    store::Store,
};

/// A batch and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchView {
    /// Its number within the job; 1 is the root.
    pub number: u32,
    /// The batch it is a child of.
    pub parent: Option<u32>,
    /// Steps below the root.
    pub depth: u32,
    /// Whether it is done, and only kept to be looked at.
    pub finished: bool,
    /// The beginning of its encoded definition, at most 4 KiB.
    pub definition: Vec<u8>,
    /// Items found below it.
    pub known: u64,
    /// Items that ended well.
    pub done: u64,
    /// Items that failed in the present run.
    pub failed: u64,
    /// Items that were dropped in the present run.
    pub discarded: u64,
    /// Direct sub-batches that have a row.
    pub batches: u64,
    /// Whether all items below it are known.
    pub total_final: bool,
    /// Pages below it that could not be split in the present run.
    pub split_failures: u64,
    /// Whether nothing of it is known yet.
    pub waiting: bool,
    /// Items without an outcome and pages yet to be split.
    pub open: u64,
    /// Whether the job has ended, so that what is open stays so.
    pub ended: bool,
}

/// Some batches and where the next ones begin.
#[derive(Debug, Clone)]
pub struct BatchPage {
    /// By number.
    pub batches: Vec<BatchView>,
    /// The numbers of batches of this page that this version cannot read.
    pub unreadable: Vec<String>,
    /// The number to continue above, if there may be more.
    pub next: Option<u32>,
}

#[derive(Debug, FromQueryResult)]
struct RootRow {
    definition: Vec<u8>,
    batches: i64,
}

#[derive(Debug, FromQueryResult)]
struct BatchSumsRow {
    number: i64,
    parent: i64,
    depth: i64,
    finished: i64,
    /// SQLite has no part of an empty value.
    definition: Option<Vec<u8>>,
    ended: i64,
    batches: i64,
    folded: i64,
    split: i64,
    items: i64,
    done: i64,
    failed: i64,
    discarded: i64,
    unsplit: i64,
    split_failures: i64,
}

impl Store {
    /// Lists the root of a job (`parent` is `None`) or the children of a batch above a number, with
    /// sums over all that is below each. All numbers of an answer are of one moment.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::BatchNotFound`].
    pub async fn list_batches(
        &self,
        name: &JobName,
        parent: Option<u32>,
        above: u32,
        size: u32,
    ) -> Result<BatchPage, StoreError> {
        let meta = self.named(name).await?;
        let Some(number) = parent else {
            let root = match above {
                0 => vec![self.root(&meta).await?],
                _ => Vec::new(),
            };
            return Ok(BatchPage {
                batches: root,
                unreadable: Vec::new(),
                next: None,
            });
        };
        let db = &self.db;
        let key = meta.key;
        let sql = "SELECT number AS value FROM batch WHERE job_key = $1 AND number = $2";
        let values = [key.into(), i64::from(number).into()];
        if db.one_int(db.reader(), sql, values).await?.is_none() {
            let job = name.clone();
            return Err(Error::BatchNotFound { job, number }.into());
        }
        let sql = "SELECT number AS value FROM batch WHERE job_key = $1 AND parent = $2 AND number > $3 ORDER BY number LIMIT $4";
        let values = [
            key.into(),
            i64::from(number).into(),
            i64::from(above).into(),
            (i64::from(size) + 1).into(),
        ];
        let rows = db.rows(db.reader(), sql, values).await?;
        let mut numbers = Vec::with_capacity(rows.len());
        for row in &rows {
            numbers.push(row.try_get::<i64>("", "value")?);
        }
        let more = numbers.len() > size as usize;
        numbers.truncate(size as usize);
        let next = numbers.last().filter(|_| more).copied();
        let sorted = self.batch_sums(key, numbers).await?;
        Ok(BatchPage {
            batches: sorted.readable,
            unreadable: sorted.unreadable,
            next: next.map(unsigned).transpose()?,
        })
    }

    /// The root's sums are the job's counters: looking at it costs the same however large the tree
    /// is.
    async fn root(&self, meta: &Arc<JobMeta>) -> Result<BatchView, StoreError> {
        let gone = || Error::JobNotFound(meta.name.clone());
        let job = self.read_job(meta).await?.ok_or_else(gone)?;
        let db = &self.db;
        let sql = "SELECT COALESCE(substr(j.body, 1, CAST($2 AS INTEGER)), j.body) AS definition, \
                   (SELECT COUNT(*) FROM batch b WHERE b.job_key = $1 AND b.parent = 1) AS batches FROM job j WHERE j.job_key = $1";
        let about: Option<RootRow> = db
            .one(db.reader(), sql, [meta.key.into(), DEFINITION_BYTES.into()])
            .await?;
        let about = about.ok_or_else(gone)?;
        let counts = &job.counts;
        let unsplit = counts.unsplit + counts.splitting;
        Ok(BatchView {
            number: 1,
            parent: None,
            depth: 0,
            finished: false,
            definition: about.definition,
            known: counts.known,
            done: counts.done,
            failed: counts.failed,
            discarded: counts.discarded,
            batches: unsigned(about.batches)?,
            // Of pages to be opened again some could not be split before.
            total_final: unsplit == 0 && (counts.reopen == 0 || counts.undeclared_unsplit == 0),
            split_failures: counts.split_failed,
            waiting: counts.known == 0 && job.next_page == 2 && unsplit > 0,
            open: counts.open_items() + unsplit + counts.reopen,
            ended: job.ended.is_some(),
        })
    }

    /// Batches with sums over all that is below each.
    pub async fn batch_sums(
        &self,
        job_key: i64,
        numbers: Vec<i64>,
    ) -> Result<Sorted<BatchView>, StoreError> {
        let db = &self.db;
        let values = [job_key.into(), keys::ints(numbers), DEFINITION_BYTES.into()];
        let rows: Vec<BatchSumsRow> = db.all(db.reader(), self.sums(), values).await?;
        let rows = rows.into_iter().map(|row| (row.number.to_string(), row));
        Sorted::read(rows, BatchSumsRow::view)
    }

    /// The batches whose numbers are bound as `$2`, each with sums over the unfinished batches
    /// below it and their pages. Of a batch that is done everything is folded into its row, and
    /// into that of its parent. What failed in an older run is open again.
    fn sums(&self) -> String {
        let [unsplit, splitting, open, retained, split_failed] = [
            PageState::Unsplit,
            PageState::Splitting,
            PageState::Open,
            PageState::Retained,
            PageState::SplitFailed,
        ]
        .map(Code::code);
        format!(
            "WITH RECURSIVE below (top, number, finished) AS ( \
               SELECT b.number, b.number, b.finished FROM batch b WHERE b.job_key = $1 AND {} \
               UNION ALL \
               SELECT s.top, b.number, b.finished FROM below s JOIN batch b ON b.job_key = $1 AND b.parent = s.number \
               WHERE s.finished = 0 AND b.finished = 0 \
             ), folded AS ( \
               SELECT s.top, SUM(b.done) AS done FROM below s JOIN batch b ON b.job_key = $1 AND b.number = s.number GROUP BY s.top \
             ), paged AS ( \
               SELECT s.top, \
                 SUM(CASE WHEN p.state IN ({open}, {retained}) THEN 1 ELSE 0 END) AS split, \
                 SUM(p.items) AS items, SUM(p.items_done) AS done, \
                 SUM(CASE WHEN p.run = j.run THEN p.items_failed ELSE 0 END) AS failed, \
                 SUM(CASE WHEN p.run = j.run THEN p.items_discarded ELSE 0 END) AS discarded, \
                 SUM(CASE WHEN p.state IN ({unsplit}, {splitting}) OR (p.state = {split_failed} AND p.run < j.run) THEN 1 ELSE 0 END) AS unsplit, \
                 SUM(CASE WHEN p.state = {split_failed} AND p.run = j.run THEN 1 ELSE 0 END) AS split_failures \
               FROM below s JOIN page p ON p.job_key = $1 AND p.batch = s.number JOIN job_progress j ON j.job_key = $1 \
               GROUP BY s.top \
             ) SELECT b.number, b.parent, b.depth, b.finished, j.ended, \
               CASE WHEN b.number = 1 THEN (SELECT substr(o.body, 1, CAST($3 AS INTEGER)) FROM job o WHERE o.job_key = $1) \
                 ELSE substr(b.definition, 1, CAST($3 AS INTEGER)) END AS definition, \
               (SELECT COUNT(*) FROM batch c WHERE c.job_key = $1 AND c.parent = b.number) AS batches, \
               CAST(f.done AS BIGINT) AS folded, \
               CAST(COALESCE(g.split, 0) AS BIGINT) AS split, CAST(COALESCE(g.items, 0) AS BIGINT) AS items, \
               CAST(COALESCE(g.done, 0) AS BIGINT) AS done, CAST(COALESCE(g.failed, 0) AS BIGINT) AS failed, \
               CAST(COALESCE(g.discarded, 0) AS BIGINT) AS discarded, CAST(COALESCE(g.unsplit, 0) AS BIGINT) AS unsplit, \
               CAST(COALESCE(g.split_failures, 0) AS BIGINT) AS split_failures \
             FROM folded f JOIN batch b ON b.job_key = $1 AND b.number = f.top \
             JOIN job_progress j ON j.job_key = $1 LEFT JOIN paged g ON g.top = f.top ORDER BY b.number",
            self.db.is_in("b.number", 2)
        )
    }
}

impl BatchSumsRow {
    fn view(self) -> Result<BatchView, StoreError> {
        let known = self.folded + self.items;
        let ended = self.folded + self.done + self.failed + self.discarded;
        let finished = self.finished != 0;
        Ok(BatchView {
            number: unsigned(self.number)?,
            parent: optional(self.parent).map(unsigned).transpose()?,
            depth: unsigned(self.depth)?,
            finished,
            definition: self.definition.unwrap_or_default(),
            known: unsigned(known)?,
            done: unsigned(self.folded + self.done)?,
            failed: unsigned(self.failed)?,
            discarded: unsigned(self.discarded)?,
            batches: unsigned(self.batches)?,
            total_final: self.unsplit == 0,
            split_failures: unsigned(self.split_failures)?,
            waiting: !finished
                && self.unsplit > 0
                && self.split == 0
                && self.folded == 0
                && self.batches == 0,
            open: unsigned(known - ended + self.unsplit)?,
            ended: self.ended != 0,
        })
    }
}
