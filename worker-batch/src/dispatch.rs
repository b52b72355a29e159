//! "Send these items of this page": find the children again and publish the task messages with
//! confirms.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use headway_domain::{
    JobUid,
    jobs::Work,
    reports::{Failed, ItemEvent, ItemReport, PageReport, code},
};
use headway_relay::codec::{TaskMessages, TaskSend};
use headway_splitters::{SplitError, template::Template};
use headway_store::{DispatchPlan, PageSource, PlannedItem};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    children::{self, Items},
    publish::Window,
    worker::{BatchWorker, Interrupted},
};

/// Items that are reported as failed in one transaction.
const FAILURES: usize = 256;
/// Items whose source fails wait for so long in the outbox, so that they hold no slot.
const ASK_AGAIN: Duration = Duration::from_secs(5);

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
        let mut indexes = Cow::Borrowed(indexes);
        loop {
            let Some(mut plan) = self
                .relay
                .store()
                .plan_dispatch(uid, page, &indexes)
                .await?
            else {
                self.memory.forget(uid, page);
                return Ok(());
            };
            let left = std::mem::take(&mut plan.left);
            self.send_some(plan).await?;
            if left.is_empty() {
                return Ok(());
            }
            indexes = Cow::Owned(left);
        }
    }

    pub(crate) async fn send_planned(&self, mut plan: DispatchPlan) -> Result<(), Interrupted> {
        let (uid, page) = (plan.source.meta.uid, plan.source.page);
        let left = std::mem::take(&mut plan.left);
        self.send_some(plan).await?;
        match left.is_empty() {
            true => Ok(()),
            false => self.dispatch_items(uid, page, &left).await,
        }
    }

    async fn send_some(&self, plan: DispatchPlan) -> Result<(), Interrupted> {
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
                    tracing::warn!(job = %source.meta.name, page = source.page, message, "the splitter cannot find a page again; its items wait in the outbox");
                    let indexes = plan.items.iter().map(|item| item.index).collect();
                    let store = self.relay.store();
                    store
                        .defer_dispatch(source.meta.uid, source.page, plan.run, indexes, ASK_AGAIN)
                        .await?;
                    return Ok(());
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

    /// Publishes task messages, some bytes at a time, and waits for every confirm. Items whose
    /// payload cannot be made, or is larger than the broker takes, fail.
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
            Err(message) => {
                let failure = Failed::lasting(code::SPLIT_FAILED, message);
                let failed = items.into_iter().map(|item| (item, failure.clone()));
                return self.fail(source, run, failed.collect()).await;
            }
        };
        let messages = TaskMessages::new(&source.meta, source.page, run, control);
        let too_large = self
            .send_with(messages, source, run, items, |item| {
                inputs.render(children.get(item.index as usize))
            })
            .await?;
        // What is too large together may not be so alone.
        let mut alone = Vec::new();
        let mut failed = Vec::new();
        for send in too_large {
            match send.items.len() {
                1 => failed.push(send),
                _ => alone.extend(send.items),
            }
        }
        if !alone.is_empty() {
            let messages = TaskMessages::new(&source.meta, source.page, run, control).one_by_one();
            let too_large = self
                .send_with(messages, source, run, alone, |item| {
                    inputs.render(children.get(item.index as usize))
                })
                .await?;
            failed.extend(too_large);
        }
        let failed = failed.into_iter().flat_map(|send| {
            let why = format!(
                "the item's message has {} bytes, more than the message broker takes; make its payload or headers smaller",
                send.message.body.len()
            );
            let failure = Failed::lasting(code::MESSAGE_TOO_LARGE, why);
            send.items.into_iter().map(move |item| (item, failure.clone()))
        });
        self.fail(source, run, failed.collect()).await
    }

    /// Publishes task messages; those that are too large for the broker are given back.
    async fn send_with(
        &self,
        mut messages: TaskMessages<'_>,
        source: &PageSource,
        run: u32,
        items: Vec<PlannedItem>,
        render: impl Fn(&PlannedItem) -> Result<Bytes, String>,
    ) -> Result<Vec<TaskSend>, Interrupted> {
        let mut window = Window::default();
        let mut too_large = Vec::new();
        let mut failed = Vec::new();
        for item in items {
            let payload = match &item.forward {
                Some(_) => Bytes::new(),
                None => match render(&item) {
                    Ok(payload) => payload,
                    Err(message) => {
                        failed.push((item, Failed::lasting(code::SPLIT_FAILED, message)));
                        if failed.len() >= FAILURES {
                            self.fail(source, run, std::mem::take(&mut failed)).await?;
                        }
                        continue;
                    }
                },
            };
            if let Some(send) = messages.add(item, payload) {
                window.push(send);
            }
            if window.is_full() {
                too_large.extend(self.publish_tasks(source, run, window.take()).await?);
            }
        }
        self.fail(source, run, failed).await?;
        if let Some(send) = messages.finish() {
            window.push(send);
        }
        too_large.extend(self.publish_tasks(source, run, window.take()).await?);
        Ok(too_large)
    }

    /// Items that can never be sent end as failures of their own.
    async fn fail(
        &self,
        source: &PageSource,
        run: u32,
        failed: Vec<(PlannedItem, Failed)>,
    ) -> Result<(), Interrupted> {
        if failed.is_empty() {
            return Ok(());
        }
        let items = failed.into_iter().map(|(item, failure)| ItemReport {
            index: item.index,
            attempt: item.attempt,
            stage: item.stage,
            event: ItemEvent::Failed(failure),
        });
        let report = PageReport {
            job: source.meta.uid,
            page: source.page,
            run,
            done: Vec::new(),
            items: items.collect(),
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
                if payload.len() > headway_domain::limits::MAX_PAYLOAD_BYTES {
                    return Err(format!(
                        "the item's payload has {} bytes, and at most {} are allowed",
                        payload.len(),
                        headway_domain::limits::MAX_PAYLOAD_BYTES
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
