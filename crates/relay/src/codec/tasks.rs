//! Task messages: what is the same for all items of a page is encoded once, and each message is
//! that and its items, since protobuf messages may be joined by joining their bytes.

use bytes::{BufMut, Bytes, BytesMut};
use headway::wire;
use headway_broker::{Outgoing, Queue};
use headway_domain::{
    jobs::{JobMeta, Work},
    limits,
};
use headway_store::PlannedItem;
use prost::Message;
use uuid::Uuid;

use super::ids::fence_bytes;

/// The content type of payloads that a splitter made.
const JSON: &str = "application/json";

/// Payload bytes in one message at most, unless one item alone has more. A message then stays far
/// below what brokers take: the payload of one item is as large at most, and headers are small.
const MESSAGE_BYTES: usize = limits::MAX_PAYLOAD_BYTES;

/// Builds the task messages of one page.
#[derive(Debug)]
pub struct TaskMessages<'a> {
    meta: &'a JobMeta,
    page: u32,
    run: u32,
    control: u32,
    /// The encoded fields that all ordinary items share.
    shared: Vec<u8>,
    /// Items in one message at most.
    together: usize,
    /// The message in the making: its items, and the bytes of their payloads.
    group: Vec<wire::TaskItem>,
    group_bytes: usize,
    /// Whether the starts of its items are announced.
    announced: bool,
    items: Vec<PlannedItem>,
}

/// A task message and the items in it.
#[derive(Debug, Clone)]
pub struct TaskSend {
    /// The message.
    pub message: Outgoing,
    /// Its items. A forwarded one is without what it became: that is in the message.
    pub items: Vec<PlannedItem>,
}

impl TaskSend {
    fn new(message: Outgoing, mut items: Vec<PlannedItem>) -> Self {
        for item in &mut items {
            item.forward = None;
        }
        Self { message, items }
    }
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
            together: (meta.spec.items_per_message as usize).max(1),
            group: Vec::new(),
            group_bytes: 0,
            announced: false,
            items: Vec::new(),
        };
        let (task_type, content_type) = match &meta.spec.work {
            Work::Task(task) => (task.task_type.as_str(), task.content_type.as_str()),
            Work::Batch(batch) => (batch.task_type.as_str(), JSON),
        };
        messages.shared = messages.message(task_type, content_type).encode_to_vec();
        messages
    }

    /// Puts each item into a message of its own.
    #[must_use]
    pub fn one_by_one(self) -> Self {
        Self {
            together: 1,
            ..self
        }
    }

    fn message(&self, task_type: &str, content_type: &str) -> wire::TaskMessage {
        let spec = &self.meta.spec;
        let headers = match &spec.work {
            Work::Task(task) => &task.headers,
            Work::Batch(batch) => &batch.headers,
        };
        wire::TaskMessage {
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

    /// Puts an item into the next message, with its input unless it was forwarded. The message that
    /// this completes, if any: it may be one of earlier items.
    pub fn add(&mut self, item: PlannedItem, payload: Bytes) -> Option<TaskSend> {
        if let Some(forward) = &item.forward {
            let message = self.forwarded(&item, forward);
            return Some(TaskSend::new(message, vec![item]));
        }
        if item.alone {
            let message = self.alone(&item, payload);
            return Some(TaskSend::new(message, vec![item]));
        }
        let bytes = payload.len();
        let overflows = self.group_bytes + bytes > MESSAGE_BYTES;
        let before = (overflows || self.announced != item.announced)
            .then(|| self.finish())
            .flatten();
        self.announced = item.announced;
        self.group.push(task_item(&item, payload));
        self.group_bytes += bytes;
        self.items.push(item);
        before.or_else(|| {
            (self.group.len() >= self.together)
                .then(|| self.finish())
                .flatten()
        })
    }

    /// The message of the items that were added last, if one is begun.
    pub fn finish(&mut self) -> Option<TaskSend> {
        if self.group.is_empty() {
            return None;
        }
        self.group_bytes = 0;
        let message = self.ordinary();
        Some(TaskSend::new(message, std::mem::take(&mut self.items)))
    }

    fn ordinary(&mut self) -> Outgoing {
        let items = wire::TaskMessage {
            items: std::mem::take(&mut self.group),
            announced: self.announced,
            ..wire::TaskMessage::default()
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
        let rest = wire::TaskMessage {
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

    fn forwarded(
        &self,
        item: &PlannedItem,
        forward: &headway_domain::batches::Forward,
    ) -> Outgoing {
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

fn task_item(item: &PlannedItem, payload: Bytes) -> wire::TaskItem {
    wire::TaskItem {
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

/// Writes a task message that consists of a fence, to be reported to this shard.
pub fn encode_fence_task(id: Uuid, shard: u16) -> Bytes {
    let message = wire::TaskMessage {
        // No job has it. A worker that knows no fences gives the message up, and tracking finds no
        // job to fail.
        job_uid: fence_bytes(id),
        shard: shard.into(),
        fence: fence_bytes(id),
        ..wire::TaskMessage::default()
    };
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use headway_domain::{
        JobId, JobName, JobUid, PartitionId, PipeName,
        jobs::{JobSpec, TaskSpec},
    };

    use super::*;

    fn meta(items_per_message: u32) -> JobMeta {
        let work = Work::Task(TaskSpec {
            pipe: PipeName::new("work").unwrap(),
            task_type: "export".to_owned(),
            payload: Vec::new(),
            content_type: JSON.to_owned(),
            headers: Default::default(),
        });
        JobMeta {
            key: 1,
            uid: JobUid(Uuid::nil()),
            name: JobName {
                partition: PartitionId::new("a").unwrap(),
                job: JobId::new("j").unwrap(),
            },
            shard: 0,
            spec: JobSpec {
                items_per_message,
                ..JobSpec::new(work)
            },
            creator: String::new(),
            created: 0,
            version: 0,
        }
    }

    /// Indexes by message, for items with payloads of these bytes.
    fn messages(mut tasks: TaskMessages<'_>, bytes: &[usize]) -> Vec<Vec<u32>> {
        let mut sends = Vec::new();
        for (index, bytes) in (0..).zip(bytes) {
            sends.extend(tasks.add(first_try(index, 0), vec![0; *bytes].into()));
        }
        sends.extend(tasks.finish());
        assert!(tasks.finish().is_none());
        let read = |send: &TaskSend| {
            let message = wire::TaskMessage::decode(send.message.body.clone()).unwrap();
            let indexes: Vec<_> = message.items.iter().map(|item| item.index).collect();
            let items: Vec<_> = send.items.iter().map(|item| item.index).collect();
            assert_eq!(indexes, items);
            assert!(send.message.body.len() < 2 * MESSAGE_BYTES + 1024);
            indexes
        };
        sends.iter().map(read).collect()
    }

    #[test]
    fn a_message_is_cut_by_count_and_by_bytes() {
        let meta = meta(3);
        let tasks = || TaskMessages::new(&meta, 1, 0, 0);
        assert_eq!(messages(tasks(), &[1; 5]), [vec![0, 1, 2], vec![3, 4]]);
        let most = MESSAGE_BYTES;
        let sizes = [most / 2, most / 2, 1, most, 1, 1];
        assert_eq!(
            messages(tasks(), &sizes),
            [vec![0, 1], vec![2], vec![3], vec![4, 5]]
        );
        assert_eq!(messages(tasks().one_by_one(), &[1; 2]), [vec![0], vec![1]]);
        assert!(messages(tasks(), &[]).is_empty());
    }

    /// A worker announces the starts of all items of a message, or of none.
    #[test]
    fn items_that_are_announced_have_messages_of_their_own() {
        let meta = meta(3);
        let mut tasks = TaskMessages::new(&meta, 1, 0, 0);
        let mut sends = Vec::new();
        for (index, announced) in (0..).zip([false, true, true, false, false]) {
            let item = PlannedItem {
                announced,
                ..first_try(index, 0)
            };
            sends.extend(tasks.add(item, Bytes::new()));
        }
        sends.extend(tasks.finish());
        let read = |send: &TaskSend| {
            let message = wire::TaskMessage::decode(send.message.body.clone()).unwrap();
            let indexes: Vec<_> = message.items.iter().map(|item| item.index).collect();
            (indexes, message.announced)
        };
        let read: Vec<_> = sends.iter().map(read).collect();
        assert_eq!(
            read,
            [(vec![0], false), (vec![1, 2], true), (vec![3, 4], false)]
        );
    }
}
