//! What batch workers read: where to split, and which items to send.

use std::sync::Arc;

use headway_domain::{
    JobUid,
    batches::{Item, Page, PageContent, PageState},
    jobs::JobMeta,
};
use sea_orm::FromQueryResult;

use crate::{
    batches::split_plan::{DispatchPlan, PageSource, PlannedItem, SplitPlan},
    db::keys,
    error::StoreError,
    ground::committed::Committed,
    slice::rows::item::ItemRow,
    store::Store,
};

/// Bytes of forwarded payloads that one plan holds at most, unless one item alone has more.
const MAX_FORWARDED_BYTES: i64 = 4 << 20;

#[derive(Debug, FromQueryResult)]
struct PayloadSizeRow {
    idx: i64,
    bytes: i64,
}

#[derive(Debug, FromQueryResult)]
struct DefinitionRow {
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
        // Once more where the job was held when it was read and went on before it was locked: the
        // message that asks stands for the page, and must not be acknowledged for nothing.
        loop {
            let Some(job) = self.read_job(&meta).await? else {
                return nothing();
            };
            let Some((page, content)) = self.db.page(self.db.work_reader(), &meta, number).await?
            else {
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
            let Some((page, content)) = self.db.page(self.db.work_reader(), &meta, number).await?
            else {
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
            left: Vec::new(),
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
        let mut indexes = indexes;
        if job.counts.item_rows > 0 {
            let fitting = self.fitting(&meta, page.number, indexes).await?;
            let (now, left) = indexes.split_at(fitting);
            plan.left = left.to_vec();
            indexes = now;
            let sql = format!(
                "SELECT {} FROM item i WHERE i.job_key = $1 AND i.page = $2 AND {}",
                ItemRow::COLUMNS,
                self.db.is_in("i.idx", 3)
            );
            let list = keys::ints(indexes.iter().map(|index| i64::from(*index)));
            let found: Vec<ItemRow> = self
                .db
                .all(
                    self.db.work_reader(),
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

    /// How many of these items, from the first, have forwarded payloads that fit into memory
    /// together; at least one.
    async fn fitting(
        &self,
        meta: &JobMeta,
        page: u32,
        indexes: &[u32],
    ) -> Result<usize, StoreError> {
        if indexes.len() < 2 {
            return Ok(indexes.len());
        }
        let sql = format!(
            "SELECT idx, CAST(length(payload) AS BIGINT) AS bytes FROM item \
             WHERE job_key = $1 AND page = $2 AND forwarded = 1 AND {}",
            self.db.is_in("idx", 3)
        );
        let list = keys::ints(indexes.iter().map(|index| i64::from(*index)));
        let values = [meta.key.into(), i64::from(page).into(), list];
        let sizes: Vec<PayloadSizeRow> = self.db.all(self.db.work_reader(), sql, values).await?;
        let sizes: std::collections::HashMap<_, _> =
            sizes.iter().map(|row| (row.idx, row.bytes)).collect();
        let mut bytes = 0;
        let fits = |index: &&u32| {
            bytes += sizes.get(&i64::from(**index)).copied().unwrap_or(0);
            bytes <= MAX_FORWARDED_BYTES
        };
        Ok(indexes.iter().take_while(fits).count().max(1))
    }

    /// Whether items of the job may still be sent in this run.
    pub async fn is_sendable(&self, meta: &Arc<JobMeta>, run: u32) -> Result<bool, StoreError> {
        let job = self.read_job(meta).await?;
        Ok(job.is_some_and(|job| job.run == run && job.is_running()))
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
        let row: Option<DefinitionRow> = self.db.one(self.db.work_reader(), sql, values).await?;
        // A definition that is gone belongs to a job that was deleted meanwhile: its split is then
        // refused.
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
}
