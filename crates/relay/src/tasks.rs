//! Task messages: what is the same for all items of a page is encoded once, and each message is that
//! and its items, since protobuf messages may be joined by joining their bytes.

use bytes::{BufMut, Bytes, BytesMut};
use headway::pipe;
use headway_broker::{Outgoing, Queue};
use headway_domain::{job::JobMeta, spec::Work};
use headway_store::PlannedItem;
use prost::Message;

/// The content type of payloads that a splitter made.
const JSON: &str = "application/json";

/// Builds the task messages of one page.
#[derive(Debug)]
pub struct TaskMessages<'a> {
    meta: &'a JobMeta,
    page: u32,
    run: u32,
    control: u32,
    /// The encoded fields that all ordinary items share.
    shared: Vec<u8>,
}

impl<'a> TaskMessages<'a> {
    /// For items of this page, sent in this run under this control counter.
    pub fn new(meta: &'a JobMeta, page: u32, run: u32, control: u32) -> Self {
        let mut messages = Self {
            meta,
            page,
            run,
            control,
            shared: Vec::new(),
        };
        let (task_type, content_type) = match &meta.spec.work {
            Work::Task(task) => (task.task_type.as_str(), task.content_type.as_str()),
            Work::Batch(batch) => (batch.task_type.as_str(), JSON),
        };
        messages.shared = messages.message(task_type, content_type).encode_to_vec();
        messages
    }

    fn message(&self, task_type: &str, content_type: &str) -> pipe::TaskMessage {
        let spec = &self.meta.spec;
        let headers = match &spec.work {
            Work::Task(task) => &task.headers,
            Work::Batch(batch) => &batch.headers,
        };
        pipe::TaskMessage {
            job_uid: Bytes::copy_from_slice(self.meta.uid.0.as_bytes()),
            job: self.meta.name.to_string(),
            page: self.page,
            run: self.run,
            control: self.control,
            shard: self.meta.shard.into(),
            r#type: task_type.to_owned(),
            content_type: content_type.to_owned(),
            headers: headers
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            timeout_ms: spec.item_timeout_ms,
            result_pipe: spec
                .result_pipe
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            items: Vec::new(),
            alone: false,
            announced: false,
            fence: Bytes::new(),
        }
    }

    /// Messages for these items in order; `payload` gives the input of an item that was not forwarded.
    pub fn build(
        &self,
        items: Vec<PlannedItem>,
        mut payload: impl FnMut(u32) -> Bytes,
    ) -> Vec<Outgoing> {
        let together = self.meta.spec.items_per_message as usize;
        let mut messages = Vec::with_capacity(items.len() / together.max(1) + 1);
        let mut group: Vec<pipe::TaskItem> = Vec::with_capacity(together);
        let mut announced: Vec<pipe::TaskItem> = Vec::new();
        for item in items {
            match &item.forward {
                Some(forward) => messages.push(self.forwarded(&item, forward)),
                None if item.alone => messages.push(self.alone(&item, payload(item.index))),
                None => {
                    let group = if item.announced {
                        &mut announced
                    } else {
                        &mut group
                    };
                    group.push(task_item(&item, payload(item.index)));
                    if group.len() >= together {
                        messages.push(self.siblings(group, item.announced));
                    }
                }
            }
        }
        for (mut group, announced) in [(group, false), (announced, true)] {
            if !group.is_empty() {
                messages.push(self.siblings(&mut group, announced));
            }
        }
        messages
    }

    fn siblings(&self, group: &mut Vec<pipe::TaskItem>, announced: bool) -> Outgoing {
        let items = pipe::TaskMessage {
            items: std::mem::take(group),
            announced,
            ..pipe::TaskMessage::default()
        };
        let mut body = BytesMut::with_capacity(self.shared.len() + items.encoded_len());
        body.put_slice(&self.shared);
        body.put_slice(&items.encode_to_vec());
        Outgoing {
            queue: Queue::Pipe(self.meta.spec.pipe().to_string()),
            body: body.freeze(),
        }
    }

    fn alone(&self, item: &PlannedItem, payload: Bytes) -> Outgoing {
        let rest = pipe::TaskMessage {
            items: vec![task_item(item, payload)],
            alone: true,
            announced: true,
            ..Default::default()
        };
        let mut body = self.shared.clone();
        body.extend_from_slice(&rest.encode_to_vec());
        Outgoing {
            queue: Queue::Pipe(self.meta.spec.pipe().to_string()),
            body: body.into(),
        }
    }

    fn forwarded(&self, item: &PlannedItem, forward: &headway_domain::page::Forward) -> Outgoing {
        let mut message = self.message(&forward.task_type, &forward.content_type);
        message.alone = item.alone;
        message.announced = item.announced || item.alone;
        message
            .items
            .push(task_item(item, Bytes::copy_from_slice(&forward.payload)));
        Outgoing {
            queue: Queue::Pipe(forward.pipe.clone()),
            body: message.encode_to_vec().into(),
        }
    }
}

fn task_item(item: &PlannedItem, payload: Bytes) -> pipe::TaskItem {
    pipe::TaskItem {
        index: item.index,
        attempt: item.attempt,
        stage: item.stage,
        failures: item.failures,
        payload,
    }
}

/// An item that has no row: its first try.
pub fn first_try(index: u32, attempt: u32) -> PlannedItem {
    PlannedItem {
        index,
        attempt,
        stage: 0,
        failures: 0,
        announced: false,
        alone: false,
        forward: None,
    }
}
