//! What batch workers read and record: where to split, what was found, and which items to send.

use std::sync::Arc;

use headway_domain::{
    JobSlice, JobUid,
    bitmap::Bitmap,
    effect::{Effect, Failed},
    job::JobMeta,
    page::{Forward, Item, Page, PageContent, PageState},
    split::{Split, SplitOutcome},
};
use sea_orm::FromQueryResult;

use crate::{
    Committed, Store,
    db::{Durability, Tx, keys},
    error::StoreError,
    rows::{
        item::ItemRow,
        page::{ContentRow, PAGE_COLUMNS, PageRow},
    },
};

/// A page and the definition it is a part of.
#[derive(Debug, Clone)]
pub struct PageSource {
    /// The job.
    pub meta: Arc<JobMeta>,
    /// The page.
    pub page: u32,
    /// Its batch; 1 is the root.
    pub batch: u32,
    /// The encoded definition of the batch.
    pub definition: Vec<u8>,
    /// Where the page begins; `None` for the beginning of the batch.
    pub cursor: Option<Vec<u8>>,
    /// How many children it may have.
    pub limit: u32,
}

/// What to do with a message that asks for a split.
#[derive(Debug, Clone)]
pub enum SplitPlan {
    /// Split the page.
    Split(PageSource),
    /// It was split before: send what is open.
    Dispatch(DispatchPlan),
    /// Nothing: the job or page is gone, held, or somebody else's.
    Nothing(Committed),
}

/// What became of a recorded split.
#[derive(Debug, Clone)]
pub struct SplitResult {
    /// What is to be published now.
    pub committed: Committed,
    /// The items to send, if this call recorded the split; `None` if somebody else was first.
    pub release: Option<ReleasePlan>,
}

/// Items of a page that was just split.
#[derive(Debug, Clone)]
pub struct ReleasePlan {
    /// The job's run.
    pub run: u32,
    /// The job's control counter.
    pub control: u32,
    /// The items to send now.
    pub indexes: Bitmap,
}

/// Items of a page to send.
#[derive(Debug, Clone)]
pub struct DispatchPlan {
    /// Where the page comes from.
    pub source: PageSource,
    /// The run that the items are sent in.
    pub run: u32,
    /// The job's control counter.
    pub control: u32,
    /// The children that are sub-batches.
    pub sub: Bitmap,
    /// How many children the page has.
    pub count: u32,
    /// The hash over the children.
    pub hash: i64,
    /// The encoded children, if the splitter is not reproducible.
    pub children: Option<Vec<u8>>,
    /// The items. Empty when nothing is to be sent.
    pub items: Vec<PlannedItem>,
    /// What is to be published because items were taken back.
    pub committed: Committed,
}

/// An item to send, and under which fencing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedItem {
    /// Its index in the page.
    pub index: u32,
    /// The fencing attempt.
    pub attempt: u32,
    /// The pipeline step.
    pub stage: u32,
    /// Tries that failed before.
    pub failures: u32,
    /// Whether it is suspected of killing its workers.
    pub alone: bool,
    /// What it became by a forward.
    pub forward: Option<Forward>,
}

impl From<Item> for PlannedItem {
    fn from(item: Item) -> Self {
        Self {
            index: item.index,
            attempt: item.attempt,
            stage: item.stage,
            failures: item.failures,
            alone: item.alone,
            forward: item.forward,
        }
    }
}

#[derive(Debug, FromQueryResult)]
struct Definition {
    definition: Vec<u8>,
}

impl Store {
    /// What to do with the message "split this page under this attempt".
    pub async fn plan_split(
        &self,
        uid: JobUid,
        number: u32,
        attempt: u32,
    ) -> Result<SplitPlan, StoreError> {
        let nothing = || Ok(SplitPlan::Nothing(Committed::default()));
        let Some(meta) = self.meta_of(uid).await? else {
            return nothing();
        };
        // Once more where the job was held when it was read and went on before it was locked: the message that
        // asks stands for the page, and must not be acknowledged for nothing.
        loop {
            let Some(job) = self.read_job(&meta).await? else {
                return nothing();
            };
            let Some((page, content)) = self.read_page(&meta, number).await? else {
                return nothing();
            };
            match page.state {
                PageState::Splitting if page.attempt == attempt && job.is_running() => {
                    let limit = job.page_limit();
                    return Ok(SplitPlan::Split(
                        self.source(meta, &page, content.cursor, limit).await?,
                    ));
                }
                PageState::Splitting if page.attempt == attempt => {
                    let withheld = self.withhold_split(&meta, number, attempt).await?;
                    if let Some(committed) = withheld {
                        return Ok(SplitPlan::Nothing(committed));
                    }
                }
                PageState::Open => {
                    let open: Vec<u32> = page
                        .open_indexes()
                        .filter(|index| page.is_released(*index))
                        .collect();
                    let plan = self.plan(meta.clone(), page, content, &open).await?;
                    if let Some(plan) = plan {
                        return Ok(SplitPlan::Dispatch(plan));
                    }
                }
                _ => return nothing(),
            }
        }
    }

    /// What to do with the message "send these items of the page".
    pub async fn plan_dispatch(
        &self,
        uid: JobUid,
        number: u32,
        indexes: &[u32],
    ) -> Result<Option<DispatchPlan>, StoreError> {
        let Some(meta) = self.meta_of(uid).await? else {
            return Ok(None);
        };
        // Once more for the same reason as in a split.
        loop {
            let Some((page, content)) = self.read_page(&meta, number).await? else {
                return Ok(None);
            };
            if page.state != PageState::Open {
                return Ok(None);
            }
            let plan = self.plan(meta.clone(), page, content, indexes).await?;
            if plan.is_some() {
                return Ok(plan);
            }
        }
    }

    /// Which of these items to send; `None` if the job went on while they were being taken back.
    async fn plan(
        &self,
        meta: Arc<JobMeta>,
        page: Page,
        content: PageContent,
        indexes: &[u32],
    ) -> Result<Option<DispatchPlan>, StoreError> {
        let source = self
            .source(meta.clone(), &page, content.cursor, content.limit)
            .await?;
        let mut plan = DispatchPlan {
            source,
            run: page.run,
            control: 0,
            sub: page.sub.clone(),
            count: page.count,
            hash: content.hash,
            children: content.children,
            items: Vec::new(),
            committed: Committed::default(),
        };
        let Some(job) = self.read_job(&meta).await? else {
            return Ok(Some(plan));
        };
        plan.control = job.control;
        if job.run != page.run {
            return Ok(Some(plan));
        }
        if !job.is_running() {
            let withheld = self.withhold_items(&meta, page.number, indexes).await?;
            return Ok(withheld.map(|committed| DispatchPlan { committed, ..plan }));
        }
        let mut rows = std::collections::HashMap::new();
        if job.counts.item_rows > 0 {
            let sql = format!(
                "SELECT * FROM item WHERE job_key = $1 AND page = $2 AND {}",
                self.db.is_in("idx", 3)
            );
            let list = keys::ints(indexes.iter().map(|index| i64::from(*index)));
            let found: Vec<ItemRow> = self
                .db
                .all(
                    self.db.reader(),
                    sql,
                    [meta.key.into(), i64::from(page.number).into(), list],
                )
                .await?;
            for row in found {
                let item = Item::try_from(row)?;
                rows.insert(item.index, item);
            }
        }
        let sendable = |index: &u32| page.is_out(*index);
        plan.items = indexes
            .iter()
            .copied()
            .filter(sendable)
            .map(|index| {
                rows.remove(&index)
                    .unwrap_or_else(|| Item::ordinary(&page, index))
            })
            .filter(Item::rests_on_message)
            .map(PlannedItem::from)
            .collect();
        Ok(Some(plan))
    }

    async fn read_page(
        &self,
        meta: &JobMeta,
        number: u32,
    ) -> Result<Option<(Page, PageContent)>, StoreError> {
        let sql = format!(
            "SELECT {PAGE_COLUMNS}, p.split_cursor, p.split_limit, p.hash, p.children \
             FROM page p WHERE p.job_key = $1 AND p.number = $2"
        );
        let statement = self
            .db
            .statement(sql, [meta.key.into(), i64::from(number).into()]);
        let row = sea_orm::ConnectionTrait::query_one_raw(self.db.reader(), statement).await?;
        let Some(row) = row else { return Ok(None) };
        let page = Page::try_from(PageRow::from_query_result(&row, "")?)?;
        let content = PageContent::try_from(ContentRow::from_query_result(&row, "")?)?;
        Ok(Some((page, content)))
    }

    async fn source(
        &self,
        meta: Arc<JobMeta>,
        page: &Page,
        cursor: Option<Vec<u8>>,
        limit: u32,
    ) -> Result<PageSource, StoreError> {
        let (sql, values) = if page.batch == 1 {
            (
                "SELECT body AS definition FROM job WHERE job_key = $1",
                vec![meta.key.into()],
            )
        } else {
            (
                "SELECT definition FROM batch WHERE job_key = $1 AND number = $2",
                vec![meta.key.into(), i64::from(page.batch).into()],
            )
        };
        let row: Option<Definition> = self.db.one(self.db.reader(), sql, values).await?;
        // A definition that is gone belongs to a job that was deleted meanwhile: its split is then refused.
        let definition = row.map(|row| row.definition).unwrap_or_default();
        Ok(PageSource {
            meta,
            page: page.number,
            batch: page.batch,
            definition,
            cursor,
            limit,
        })
    }

    /// Records what a splitter found and releases what the job's window allows. The items of this page to send are
    /// returned and not in the outbox: the message that asked for the split stands for them until it is acknowledged.
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
        if slice.record_split(source.page, attempt, split) == SplitOutcome::Lost {
            return Ok(SplitResult {
                committed: Committed::default(),
                release: None,
            });
        }
        self.db.advance(&tx, &mut slice).await?;
        let mut indexes = Bitmap::default();
        slice.effects.retain(|effect| match effect {
            Effect::Dispatch {
                page,
                indexes: list,
            } if *page == source.page => {
                indexes = list.iter().copied().collect();
                false
            }
            _ => true,
        });
        let release = ReleasePlan {
            run: slice.job.run,
            control: slice.job.control,
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
        self.change_page(&meta, page, |slice| {
            slice.record_split_failure(page, attempt, failure);
        })
        .await
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

    async fn withhold_split(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
        attempt: u32,
    ) -> Result<Option<Committed>, StoreError> {
        self.withhold(meta, page, |slice| slice.withhold_split(page, attempt))
            .await
    }

    async fn withhold_items(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
        indexes: &[u32],
    ) -> Result<Option<Committed>, StoreError> {
        self.withhold(meta, page, |slice| slice.withhold_items(page, indexes))
            .await
    }

    /// Takes back what a batch worker did not send; `None`, and nothing is taken back, if the job runs by now.
    async fn withhold(
        &self,
        meta: &Arc<JobMeta>,
        page: u32,
        take_back: impl FnOnce(&mut JobSlice),
    ) -> Result<Option<Committed>, StoreError> {
        let mut runs = false;
        let committed = self
            .change_page(meta, page, |slice| {
                runs = slice.job.is_running();
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
        if slice.changed {
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
        let sql = format!(
            "SELECT {PAGE_COLUMNS}, p.split_cursor, p.split_limit, p.hash, p.children \
             FROM page p WHERE p.job_key = $1 AND p.number = $2"
        );
        let statement = db.statement(sql, [meta.key.into(), i64::from(page).into()]);
        let Some(row) = sea_orm::ConnectionTrait::query_one_raw(&*tx, statement).await? else {
            return Ok((tx, None));
        };
        let mut loaded = Page::try_from(PageRow::from_query_result(&row, "")?)?;
        loaded.content = Some(PageContent::try_from(ContentRow::from_query_result(
            &row, "",
        )?)?);
        let batch = loaded.batch;
        slice.add_page(loaded);
        db.load_batches(&tx, &mut slice, &[batch]).await?;
        Ok((tx, Some(slice)))
    }
}
