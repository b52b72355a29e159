//! "Split this page": ask the splitter, record what it found, send what the job's window allows.

use headway_domain::{
    JobUid,
    batches::Split,
    jobs::{BatchSpec, Work},
    reports::{Failed, code},
};
use headway_runtime::tasks;
use headway_splitters::{Definition, Page, PageRequest, SplitError, Splitter, WarmKey};
use headway_store::{PageSource, ReleasePlan, SplitPlan, StoreError};

use crate::{
    children::{self, Found},
    worker::{BatchWorker, Interrupted},
};

impl BatchWorker {
    pub(crate) async fn split_page(
        &self,
        uid: JobUid,
        page: u32,
        attempt: u32,
    ) -> Result<(), Interrupted> {
        let source = match self.relay.store().plan_split(uid, page, attempt).await? {
            SplitPlan::Split(source) => source,
            SplitPlan::Dispatch(plan) => return self.send_planned(plan).await,
            SplitPlan::Nothing(committed) => {
                self.relay.publish(committed).await;
                return Ok(());
            }
        };
        let (found, split) = match self.find(&source).await {
            Ok(found) => found,
            Err(error) => return self.record_failure(uid, page, attempt, error).await,
        };
        let hash = split.hash;
        let recorded = self.relay.store().record_split(&source, attempt, split);
        let result = match recorded.await {
            Ok(result) => result,
            // The same children are refused again: the batch fails with a reason.
            Err(StoreError::Refused(why)) => {
                tracing::warn!(error = %why, job = %source.meta.name, page, "the database refuses the children that the splitter found; their batch fails");
                let message = "the database refuses what the splitter found: a definition or cursor is too large, or has \
                    characters that the database does not store";
                let error = SplitError::Invalid(message.to_owned());
                return self.record_failure(uid, page, attempt, error).await;
            }
            Err(error) => return Err(error.into()),
        };
        // Sub-batches first: others can split them while this one sends its items.
        self.relay.publish(result.committed).await;
        match result.release {
            Some(release) => {
                self.send_found(&source, &found, hash, attempt, release)
                    .await
            }
            // Somebody else was first: send what the row says, as the delivery of the other may be
            // lost.
            None => match self.relay.store().plan_split(uid, page, attempt).await? {
                SplitPlan::Dispatch(plan) => self.send_planned(plan).await,
                SplitPlan::Split(_) | SplitPlan::Nothing(_) => Ok(()),
            },
        }
    }

    async fn record_failure(
        &self,
        uid: JobUid,
        page: u32,
        attempt: u32,
        error: SplitError,
    ) -> Result<(), Interrupted> {
        tracing::warn!(job = %uid, page, attempt, %error, "cannot split a page; a passing fault is tried again, any other fails the job");
        let failure = match error {
            SplitError::Invalid(message) => Failed::lasting(code::SPLIT_FAILED, message),
            SplitError::Transient(message) => Failed {
                retryable: true,
                ..Failed::lasting(code::SPLIT_FAILED, message)
            },
        };
        let committed = self
            .relay
            .store()
            .record_split_failure(uid, page, attempt, failure)
            .await?;
        self.relay.publish(committed).await;
        Ok(())
    }

    async fn send_found(
        &self,
        source: &PageSource,
        found: &Found,
        hash: i64,
        attempt: u32,
        release: ReleasePlan,
    ) -> Result<(), Interrupted> {
        if release.indexes.len() < u32::try_from(found.items.len()).unwrap_or(u32::MAX) {
            self.memory
                .keep(source.meta.uid, source.page, hash, found.items.clone());
        }
        let items = release
            .indexes
            .iter()
            // Items begin with the attempt that their page was split in.
            .map(|index| headway_relay::codec::first_try(index, attempt))
            .collect();
        self.send(source, release.run, release.control, items, &found.items)
            .await
    }

    /// Asks the splitter for a page and checks its answer.
    async fn find(&self, source: &PageSource) -> Result<(Found, Split), SplitError> {
        let spec = batch_spec(source)?;
        let root = source.batch == 1 && source.page == 1;
        let Answer {
            total,
            page,
            reproducible,
        } = self.ask(source, spec, root).await?;
        let next = page.next.clone();
        let found = children::take(page).map_err(SplitError::Invalid)?;
        let split = Split {
            children: found.children.clone(),
            next,
            total,
            limit: source.limit,
            hash: found.hash,
            stored: (!reproducible).then(|| children::compress(&found.json)),
        };
        Ok((found, split))
    }

    /// Asks the splitter for the page again, for items that are sent later.
    pub(crate) async fn find_again(&self, source: &PageSource) -> Result<Found, SplitError> {
        let spec = batch_spec(source)?;
        let answer = self.ask(source, spec, false).await?;
        children::take(answer.page).map_err(SplitError::Invalid)
    }

    fn splitter(&self, name: &str) -> Result<std::sync::Arc<dyn Splitter>, SplitError> {
        self.registry.get(name).ok_or_else(|| {
            let known = self.registry.names().join(", ");
            SplitError::Invalid(format!(
                "this deployment has no splitter {name:?}; it has {known}"
            ))
        })
    }

    /// Calls the splitter in a task of its own: one that panics or blocks must not take the worker
    /// with it.
    async fn ask(
        &self,
        source: &PageSource,
        spec: &BatchSpec,
        with_total: bool,
    ) -> Result<Answer, SplitError> {
        let splitter = self.splitter(&spec.splitter)?;
        let definition = Definition::decode(&source.definition)?;
        let parameters = spec.parameters.clone();
        let cursor = source.cursor.clone();
        let limit = source.limit as usize;
        let warm = WarmKey {
            job: source.meta.uid.0,
            batch: source.batch.into(),
        };
        let mut task = tasks::spawn(async move {
            let request = PageRequest {
                definition: &definition,
                parameters: &parameters,
                cursor: cursor.as_deref(),
                limit,
                warm: Some(warm),
            };
            let total = match with_total {
                true => splitter.total(&definition, &parameters)?,
                false => None,
            };
            let page = splitter.page(request).await?;
            Ok(Answer {
                total,
                page,
                reproducible: splitter.reproducible(),
            })
        });
        let answer = tokio::time::timeout(self.config.split_timeout, &mut task);
        match self.wait_for_splitter(answer).await {
            Ok(Ok(answer)) => {
                let answer = answer?;
                answer.page.check(source.cursor.as_deref(), limit)?;
                Ok(answer)
            }
            Ok(Err(_)) => Err(SplitError::Invalid(
                "the splitter panicked; see the batch worker's log".to_owned(),
            )),
            Err(_) => {
                task.abort();
                let seconds = self.config.split_timeout.as_secs();
                Err(SplitError::Transient(format!(
                    "the splitter found no page within {seconds} s"
                )))
            }
        }
    }
}

/// What a splitter says about a page.
struct Answer {
    /// The number of items of the whole batch, if it was asked for and is known.
    total: Option<u64>,
    page: Page,
    /// Whether it would find the same page again.
    reproducible: bool,
}

fn batch_spec(source: &PageSource) -> Result<&BatchSpec, SplitError> {
    match &source.meta.spec.work {
        Work::Batch(batch) => Ok(batch),
        Work::Task(_) => Err(SplitError::Invalid(
            "a single task cannot be split".to_owned(),
        )),
    }
}
