//! What batch workers record: what a page was split into, that it could not be, and what they did
//! not send.

use std::sync::Arc;

use headway_domain::{
    JobSlice, JobUid,
    batches::{Bitmap, Split, SplitOutcome},
    jobs::JobMeta,
    reports::Failed,
};

use crate::{
    batches::split_plan::{PageSource, ReleasePlan, SplitResult},
    db::{Durability, Tx},
    error::StoreError,
    ground::committed::Committed,
    store::Store,
};

impl Store {
    /// Records what a splitter found and releases what the job's window allows. The items of this
    /// page to send are returned and not in the outbox: the message that asked for the split stands
    /// for them until it is acknowledged.
    pub async fn record_split(
        &self,
        source: &PageSource,
        attempt: u32,
        split: Split,
    ) -> Result<SplitResult, StoreError> {
        let (tx, slice) = self.lock_page(&source.meta, source.page).await?;
        let Some(mut slice) = slice else {
            return Ok(SplitResult {
                committed: Committed::default(),
                release: None,
            });
        };
        let tries = slice.page(source.page).map_or(0, |page| page.tries);
        if slice.record_split(source.page, attempt, split) == SplitOutcome::Stale {
            return Ok(SplitResult {
                committed: Committed::default(),
                release: None,
            });
        }
        if tries > 0 {
            let key = slice.job().meta.key;
            self.db.forget_split_retry(&tx, key, source.page).await?;
        }
        self.db.advance(&tx, &mut slice).await?;
        let indexes: Bitmap = slice.take_dispatch(source.page).into_iter().collect();
        let release = ReleasePlan {
            run: slice.job().run,
            control: slice.job().control,
            indexes,
        };
        let committed = self.db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        Ok(SplitResult {
            committed,
            release: Some(release),
        })
    }

    /// Records that a page could not be split.
    pub async fn record_split_failure(
        &self,
        uid: JobUid,
        page: u32,
        attempt: u32,
        failure: Failed,
    ) -> Result<Committed, StoreError> {
        let Some(meta) = self.meta_of(uid).await? else {
            return Ok(Committed::default());
        };
        let (tx, slice) = self.lock_page(&meta, page).await?;
        let Some(mut slice) = slice else {
            return Ok(Committed::default());
        };
        if slice.record_split_failure(page, attempt, failure.clone()) == SplitOutcome::Recorded {
            self.db
                .note_split_retry(&tx, &slice, page, &failure)
                .await?;
            self.db.advance(&tx, &mut slice).await?;
        }
        let committed = self.db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        Ok(committed)
    }

    /// Records that a splitter answered differently the second time: these items fail.
    pub async fn not_reproducible(
        &self,
        uid: JobUid,
        page: u32,
        indexes: &[u32],
    ) -> Result<Committed, StoreError> {
        let Some(meta) = self.meta_of(uid).await? else {
            return Ok(Committed::default());
        };
        self.change_page(&meta, page, |slice| slice.not_reproducible(page, indexes))
            .await
    }

    pub(crate) async fn withhold_split(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
        attempt: u32,
    ) -> Result<Option<Committed>, StoreError> {
        self.withhold(meta, page, |slice| slice.withhold_split(page, attempt))
            .await
    }

    pub(crate) async fn withhold_items(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
        indexes: &[u32],
    ) -> Result<Option<Committed>, StoreError> {
        self.withhold(meta, page, |slice| slice.withhold_items(page, indexes))
            .await
    }

    /// Takes back what a batch worker did not send; `None`, and nothing is taken back, if the job
    /// runs by now.
    async fn withhold(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
        take_back: impl FnOnce(&mut JobSlice),
    ) -> Result<Option<Committed>, StoreError> {
        let mut runs = false;
        let committed = self
            .change_page(meta, page, |slice| {
                runs = slice.job().is_running();
                take_back(slice);
            })
            .await?;
        Ok((!runs).then_some(committed))
    }

    /// Changes one page under the job's lock, with its batches and item rows, and advances the job.
    async fn change_page(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
        change: impl FnOnce(&mut JobSlice),
    ) -> Result<Committed, StoreError> {
        let (tx, slice) = self.lock_page(meta, page).await?;
        let Some(mut slice) = slice else {
            return Ok(Committed::default());
        };
        self.db.load_items_of(&tx, &mut slice, &[page]).await?;
        change(&mut slice);
        if slice.has_changed() {
            self.db.advance(&tx, &mut slice).await?;
        }
        let committed = self.db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        Ok(committed)
    }

    /// Locks a job and loads one page of it, with its cursor and batches.
    async fn lock_page(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
    ) -> Result<(Tx<'_>, Option<JobSlice>), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let Some(mut slice) = db.lock_job(&tx, meta).await? else {
            return Ok((tx, None));
        };
        let Some((mut loaded, content)) = db.page(&*tx, meta, page).await? else {
            return Ok((tx, None));
        };
        loaded.content = Some(content);
        let batch = loaded.batch;
        slice.add_page(loaded);
        db.load_batches(&tx, &mut slice, &[batch]).await?;
        Ok((tx, Some(slice)))
    }
}
