//! Writing slices back, and what their effects become: outbox rows, broadcasts and changes.

use headway_domain::{
    JobSlice, Micros,
    batches::Bitmap,
    slice::{Effect, RowChange, SliceParts, TrackedRow},
};

use crate::{
    db::{
        Db, Tx,
        bulk::{Cell, Conflict},
        insert::Part,
    },
    error::StoreError,
    events::row::{EVENT, event_cells},
    ground::{
        committed::{Change, Committed, Control},
        numbers::random_id,
    },
    outbox::message::{OUTBOX, OutboxKind, OutboxMessage, outbox_cells},
    slice::{
        remove::{cut_definitions, delete_items, delete_pairs},
        rows::{
            batch::{BATCH, batch_cells},
            failure::{FAILURE, failure_cells},
            item::{ITEM, item_cells},
            page::{PAGE, PAGE_WITH_CONTENT, page_cells},
            progress::{PROGRESS, progress_cells},
            sample::{SAMPLE, sample_cells},
        },
    },
};

impl Db {
    /// Writes what changed in these slices. The result is to be acted on after the commit.
    pub(crate) async fn write_slices(
        &self,
        tx: &Tx<'_>,
        slices: Vec<JobSlice>,
    ) -> Result<Committed, StoreError> {
        self.refuse_miscounted(&slices)?;
        let (rows, mut committed) = Rows::of(slices, self.now());
        committed.releases = rows.write(self, tx).await?;
        Ok(committed)
    }
}

/// The rows of new jobs, by table, and what follows once they are committed.
pub(crate) fn new_rows(slices: Vec<JobSlice>, now: Micros) -> (Vec<Part>, Committed) {
    let (rows, committed) = Rows::of(slices, now);
    let tables = vec![
        (&PROGRESS, rows.progress),
        (&BATCH, rows.batches),
        (&PAGE, rows.pages),
        (&PAGE_WITH_CONTENT, rows.pages_with_content),
        (&EVENT, rows.events),
        (&OUTBOX, rows.outbox),
    ];
    (tables, committed)
}

fn add_effect(committed: &mut Committed, job: &headway_domain::Job, effect: Effect) {
    let uid = job.meta.uid;
    let message = |page, kind, attempt, indexes| OutboxMessage {
        id: random_id(),
        uid,
        kind,
        page,
        run: job.run,
        attempt,
        indexes,
    };
    match effect {
        Effect::Split { page, attempt } => {
            committed
                .outbox
                .push(message(page, OutboxKind::Split, attempt, Bitmap::default()));
        }
        Effect::Dispatch { page, indexes } => {
            committed.outbox.push(message(
                page,
                OutboxKind::Dispatch,
                0,
                indexes.into_iter().collect(),
            ));
        }
        Effect::Control {
            control,
            disposition,
        } => {
            committed.controls.push(Control {
                uid,
                control,
                disposition,
            });
        }
    }
}

#[derive(Default)]
struct Rows {
    progress: Vec<Vec<Cell>>,
    batches: Vec<Vec<Cell>>,
    gone_batches: Vec<(i64, i64)>,
    finished_batches: Vec<(i64, i64)>,
    pages: Vec<Vec<Cell>>,
    pages_with_content: Vec<Vec<Cell>>,
    gone_pages: Vec<(i64, i64)>,
    items: Vec<Vec<Cell>>,
    gone_items: Vec<(i64, i64, i64)>,
    failures: Vec<Vec<Cell>>,
    events: Vec<Vec<Cell>>,
    samples: Vec<Vec<Cell>>,
    outbox: Vec<Vec<Cell>>,
    /// Jobs that ended.
    ended: Vec<i64>,
}

impl Rows {
    fn of(slices: Vec<JobSlice>, now: Micros) -> (Self, Committed) {
        let mut rows = Self::default();
        let mut committed = Committed::default();
        let changed = slices.into_iter().filter(JobSlice::has_changed);
        for slice in changed.map(JobSlice::into_parts) {
            let job = &slice.job;
            committed.changes.push(Change {
                uid: job.meta.uid,
                partition: job.meta.name.partition.clone(),
                revision: job.revision,
                time: job.updated,
                deleted: false,
            });
            rows.take(&slice);
            for effect in slice.effects {
                add_effect(&mut committed, &slice.job, effect);
            }
        }
        let outbox = committed.outbox.iter();
        rows.outbox = outbox.map(|message| outbox_cells(message, now)).collect();
        (rows, committed)
    }

    fn take(&mut self, slice: &SliceParts) {
        let job = &slice.job;
        let key = job.meta.key;
        self.progress.push(progress_cells(job));
        for TrackedRow { row, change } in slice.batches.values() {
            match change {
                RowChange::Unchanged => {}
                RowChange::Update | RowChange::Insert => {
                    self.batches.push(batch_cells(key, row));
                    // Once: nothing changes a batch that is done.
                    if row.finished {
                        self.finished_batches.push((key, row.number.into()));
                    }
                }
                RowChange::Delete => self.gone_batches.push((key, row.number.into())),
            }
        }
        for TrackedRow { row, change } in slice.pages.values() {
            match change {
                RowChange::Unchanged => {}
                RowChange::Update | RowChange::Insert if row.content.is_some() => {
                    self.pages_with_content.push(page_cells(key, row))
                }
                RowChange::Update | RowChange::Insert => self.pages.push(page_cells(key, row)),
                RowChange::Delete => self.gone_pages.push((key, row.number.into())),
            }
        }
        for TrackedRow { row, change } in slice.items.values() {
            match change {
                RowChange::Unchanged => {}
                RowChange::Update | RowChange::Insert => {
                    self.items.push(item_cells(key, job.meta.shard, row))
                }
                RowChange::Delete => self
                    .gone_items
                    .push((key, row.page.into(), row.index.into())),
            }
        }
        let before = job
            .counts
            .failures
            .saturating_sub(slice.failures.len() as u64);
        let first = before + 1;
        for (seq, failure) in (first..).zip(&slice.failures) {
            let seq = i64::try_from(seq).unwrap_or(i64::MAX);
            self.failures
                .push(failure_cells(key, seq, slice.moment.now, failure));
        }
        self.samples.extend(
            slice
                .sample
                .as_ref()
                .map(|sample| sample_cells(key, sample)),
        );
        if slice.ended {
            self.ended.push(key);
        }
        for event in &slice.events {
            self.events.push(event_cells(job, event, &slice.caller));
        }
    }

    /// In the order that locks are taken in: jobs, batches, pages, items. Whether other jobs wait
    /// for one that ended.
    async fn write(self, db: &Db, tx: &Tx<'_>) -> Result<bool, StoreError> {
        PROGRESS
            .write(db, tx, self.progress, Conflict::Update)
            .await?;
        BATCH.write(db, tx, self.batches, Conflict::Update).await?;
        PAGE.write(db, tx, self.pages, Conflict::Update).await?;
        PAGE_WITH_CONTENT
            .write(db, tx, self.pages_with_content, Conflict::Update)
            .await?;
        ITEM.write(db, tx, self.items, Conflict::Update).await?;
        cut_definitions(db, tx, self.finished_batches).await?;
        delete_pairs(db, tx, "batch", "number", self.gone_batches).await?;
        delete_pairs(db, tx, "page", "number", self.gone_pages).await?;
        delete_items(db, tx, self.gone_items).await?;
        FAILURE
            .write(db, tx, self.failures, Conflict::Update)
            .await?;
        SAMPLE.write(db, tx, self.samples, Conflict::Update).await?;
        EVENT.write(db, tx, self.events, Conflict::Fail).await?;
        OUTBOX.write(db, tx, self.outbox, Conflict::Fail).await?;
        db.add_tasks_for_ended(tx, &self.ended).await
    }
}

impl Db {
    /// Refuses to store a job whose counters are wrong. The call may be repeated once the job was
    /// counted again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] until then, and [`StoreError::Broken`] if it is wrong again
    /// after that.
    pub(crate) fn refuse_miscounted(&self, slices: &[JobSlice]) -> Result<(), StoreError> {
        let wrong = slices
            .iter()
            .filter(|slice| slice.has_changed())
            .find(|slice| !slice.counts_agree());
        let Some(wrong) = wrong else { return Ok(()) };
        let name = &wrong.job().meta.name;
        let why = format!("the counters of job {name} do not agree with its pages");
        match self.miscounts.note(wrong.job().meta.key, self.now()) {
            true => {
                tracing::error!(job = %name, counts = ?wrong.job().counts, "the counters of a job do not agree with its pages; counting the job again");
                Err(StoreError::Unavailable(why))
            }
            false => Err(StoreError::Broken(why)),
        }
    }
}
