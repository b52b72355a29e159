//! "Send these items of this page": find the children again and publish the task messages with confirms.

use bytes::Bytes;
use headway_domain::{
    JobUid,
    effect::{Failed, code},
    report::{ItemEvent, ItemReport, PageReport},
    spec::Work,
};
use headway_relay::tasks::TaskMessages;
use headway_store::{DispatchPlan, PageSource, PlannedItem};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    children::{self, Items},
    splitter::SplitError,
    template::Template,
    worker::{BatchWorker, Interrupted},
};

/// Messages published at once: enough to hide the broker's round trip, few enough to bound memory.
const WINDOW: usize = 1000;

/// Why the children of a page are not to be had.
enum Lost {
    /// The splitter answers differently now.
    Changed,
    /// A fault that may pass.
    Passing(String),
}

impl BatchWorker {
    pub(crate) async fn dispatch_items(
        &self,
        uid: JobUid,
        page: u32,
        indexes: &[u32],
    ) -> Result<(), Interrupted> {
        match self.relay.store().plan_dispatch(uid, page, indexes).await? {
            Some(plan) => self.send_planned(plan).await,
            None => {
                self.memory.forget(uid, page);
                Ok(())
            }
        }
    }

    pub(crate) async fn send_planned(&self, plan: DispatchPlan) -> Result<(), Interrupted> {
        self.relay.publish(plan.committed).await;
        if plan.items.is_empty() {
            return Ok(());
        }
        let source = &plan.source;
        let forwarded = plan.items.iter().all(|item| item.forward.is_some());
        let items = if forwarded || matches!(source.meta.spec.work, Work::Task(_)) {
            Items::default()
        } else {
            match self
                .children(source, plan.hash, plan.children.as_deref())
                .await
            {
                Ok(items) => items,
                Err(Lost::Changed) => return self.not_reproducible(source, &plan.items).await,
                Err(Lost::Passing(message)) => {
                    tracing::warn!(job = %source.meta.name, page = source.page, message, "the splitter could not be asked again");
                    return Err(Interrupted::Store(headway_store::StoreError::Unavailable(
                        message,
                    )));
                }
            }
        };
        let last = plan
            .items
            .last()
            .is_some_and(|item| item.index + 1 == plan.count);
        let (uid, page) = (source.meta.uid, source.page);
        self.send(source, plan.run, plan.control, plan.items, &items)
            .await?;
        if last {
            self.memory.forget(uid, page);
        }
        Ok(())
    }

    async fn children(
        &self,
        source: &PageSource,
        hash: i64,
        stored: Option<&[u8]>,
    ) -> Result<Items, Lost> {
        let uid = source.meta.uid;
        if let Some(items) = self.memory.get(uid, source.page, hash) {
            return Ok(items);
        }
        let items = match stored {
            Some(stored) => children::decompress(stored).map_err(|_| Lost::Changed)?,
            None => match self.find_again(source).await {
                Ok(found) if found.hash == hash => found.items,
                Ok(_) | Err(SplitError::Invalid(_)) => return Err(Lost::Changed),
                Err(SplitError::Transient(message)) => return Err(Lost::Passing(message)),
            },
        };
        self.memory.keep(uid, source.page, hash, items.clone());
        Ok(items)
    }

    async fn not_reproducible(
        &self,
        source: &PageSource,
        items: &[PlannedItem],
    ) -> Result<(), Interrupted> {
        let indexes: Vec<u32> = items.iter().map(|item| item.index).collect();
        let committed = self
            .relay
            .store()
            .not_reproducible(source.meta.uid, source.page, &indexes)
            .await?;
        self.relay.publish(committed).await;
        Ok(())
    }

    /// Publishes task messages and waits for every confirm. Items whose payload cannot be made fail.
    pub(crate) async fn send(
        &self,
        source: &PageSource,
        run: u32,
        control: u32,
        items: Vec<PlannedItem>,
        children: &Items,
    ) -> Result<(), Interrupted> {
        let inputs = match Inputs::new(source) {
            Ok(inputs) => inputs,
            Err(message) => return self.fail(source, run, items, &message).await,
        };
        let mut payloads = std::collections::HashMap::with_capacity(items.len());
        let mut sendable = Vec::with_capacity(items.len());
        let mut unusable: Vec<(PlannedItem, String)> = Vec::new();
        for item in items {
            if item.forward.is_some() {
                sendable.push(item);
                continue;
            }
            match inputs.render(children.get(item.index as usize)) {
                Ok(payload) => {
                    payloads.insert(item.index, payload);
                    sendable.push(item);
                }
                Err(message) => unusable.push((item, message)),
            }
        }
        for (item, message) in unusable {
            self.fail(source, run, vec![item], &message).await?;
        }
        let builder = TaskMessages::new(&source.meta, source.page, run, control);
        let mut messages = builder.build(sendable, |index| {
            payloads.remove(&index).unwrap_or_default()
        });
        while !messages.is_empty() {
            let window = messages.drain(..messages.len().min(WINDOW)).collect();
            if !self.relay.insist(window, &self.shutdown).await {
                return Err(Interrupted::Shutdown);
            }
        }
        Ok(())
    }

    /// Items that can never be sent end as failures of their own.
    async fn fail(
        &self,
        source: &PageSource,
        run: u32,
        items: Vec<PlannedItem>,
        message: &str,
    ) -> Result<(), Interrupted> {
        let failure = Failed::lasting(code::SPLIT_FAILED, message);
        let report = PageReport {
            job: source.meta.uid,
            page: source.page,
            run,
            done: Vec::new(),
            items: items
                .into_iter()
                .map(|item| ItemReport {
                    index: item.index,
                    attempt: item.attempt,
                    stage: item.stage,
                    event: ItemEvent::Failed(failure.clone()),
                })
                .collect(),
            session: Uuid::nil(),
            worker: String::new(),
        };
        let store = self.relay.store();
        let tracked = store.apply_reports_in_turn(&[report]).await?;
        self.relay.publish(tracked.committed).await;
        Ok(())
    }
}

/// How the payloads of a page's items are made.
enum Inputs<'a> {
    /// A single task has its payload beforehand.
    Task(Bytes),
    /// Items are put into their template.
    Batch {
        template: Template,
        parameters: &'a Value,
    },
}

impl<'a> Inputs<'a> {
    fn new(source: &'a PageSource) -> Result<Self, String> {
        match &source.meta.spec.work {
            Work::Task(_) => Ok(Self::Task(Bytes::copy_from_slice(&source.definition))),
            Work::Batch(batch) => Ok(Self::Batch {
                template: Template::parse(batch.payload.as_ref())
                    .map_err(|error| error.to_string())?,
                parameters: &batch.parameters,
            }),
        }
    }

    fn render(&self, item: Option<&Value>) -> Result<Bytes, String> {
        match self {
            Self::Task(payload) => Ok(payload.clone()),
            Self::Batch {
                template,
                parameters,
            } => {
                let item = item.ok_or("the page has fewer children than were recorded")?;
                let payload = template
                    .render(item, parameters)
                    .map_err(|error| bad_row(item).unwrap_or_else(|| error.to_string()))?;
                if payload.len() > headway_domain::limits::PAYLOAD_BYTES {
                    return Err(format!(
                        "the item's payload has {} bytes, and at most {} are allowed",
                        payload.len(),
                        headway_domain::limits::PAYLOAD_BYTES
                    ));
                }
                Ok(payload.into())
            }
        }
    }
}

/// What is wrong with the row that an item of the `lines` splitter stands for, where it says so.
fn bad_row(item: &Value) -> Option<String> {
    let (offset, why) = (item.get("offset")?, item.get("error")?.as_str()?);
    Some(format!("the line at byte {offset} {why}"))
}
