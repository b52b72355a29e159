//! Publishing the task messages of a page, with confirms and bounded tries. What a pipe does not
//! take goes to the outbox, so that no pipe holds a slot of this worker for long.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::try_join_all;
use headway_broker::{BrokerError, Outgoing, Queue};
use headway_relay::codec::TaskSend;
use headway_retry::Backoff;
use headway_store::PageSource;
use tokio::sync::OwnedSemaphorePermit;

use crate::worker::{BatchWorker, Interrupted};

/// Messages, and their bytes, published at once: enough to hide the broker's round trip, few enough
/// to bound memory.
const WINDOW_MESSAGES: usize = 1000;
const WINDOW_BYTES: usize = 2 << 20;
/// How often messages are published that their pipe refuses, before they wait in the outbox.
const TRIES: u32 = 3;
/// A publish that takes longer gives up its slot.
const SLOW: Duration = Duration::from_millis(250);
/// A publish that takes longer shows that its pipe is in trouble.
const STALLED: Duration = Duration::from_secs(2);
/// Bytes of messages that wait for slow pipes without a slot.
pub(crate) const SLOW_BYTES: usize = 64 << 20;
/// Deliveries whose messages wait for slow pipes without a slot.
pub(crate) const SLOW_DELIVERIES: u16 = 256;

/// A slot of a batch worker: given back when the last clone is dropped, or earlier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Slot {
    pub(crate) fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Mutex::new(permit)))
    }

    /// Lets another message have the slot.
    pub(crate) fn give_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Messages that are gathered to be published together.
#[derive(Debug, Default)]
pub(crate) struct Window {
    sends: Vec<TaskSend>,
    bytes: usize,
}

impl Window {
    pub(crate) fn push(&mut self, send: TaskSend) {
        self.bytes += send.message.body.len();
        self.sends.push(send);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.sends.len() >= WINDOW_MESSAGES || self.bytes >= WINDOW_BYTES
    }

    pub(crate) fn take(&mut self) -> Vec<TaskSend> {
        self.bytes = 0;
        std::mem::take(&mut self.sends)
    }
}

impl BatchWorker {
    /// Publishes task messages of a page, or puts their items into the outbox. Those that are too
    /// large for the broker are given back.
    pub(crate) async fn publish_tasks(
        &self,
        source: &PageSource,
        run: u32,
        sends: Vec<TaskSend>,
    ) -> Result<Vec<TaskSend>, Interrupted> {
        let mut by_pipe: BTreeMap<Queue, Vec<TaskSend>> = BTreeMap::new();
        for send in sends {
            let pipe = send.message.queue.clone();
            by_pipe.entry(pipe).or_default().push(send);
        }
        let publishing = by_pipe
            .into_iter()
            .map(|(queue, sends)| self.publish_to(queue, source, run, sends));
        Ok(try_join_all(publishing)
            .await?
            .into_iter()
            .flatten()
            .collect())
    }

    async fn publish_to(
        &self,
        queue: Queue,
        source: &PageSource,
        run: u32,
        mut left: Vec<TaskSend>,
    ) -> Result<Vec<TaskSend>, Interrupted> {
        let Queue::Pipe(pipe) = queue else {
            return Ok(Vec::new());
        };
        let mut too_large = Vec::new();
        let mut tries = 0;
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        loop {
            if let Some(wait) = self.pipes.wait(&pipe) {
                self.defer(source, run, left, wait).await?;
                return Ok(too_large);
            }
            let messages = left.iter().map(|send| send.message.clone()).collect();
            let results = self.publish_slowly(&pipe, source, run, messages).await?;
            let mut failure = None;
            let sent = std::mem::take(&mut left);
            for (send, result) in sent.into_iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(BrokerError::Closed) => return Err(Interrupted::Shutdown),
                    Err(BrokerError::TooLarge(_)) => too_large.push(send),
                    Err(error) => {
                        failure = Some(error);
                        left.push(send);
                    }
                }
            }
            let Some(error) = failure else {
                self.pipes.worked(&pipe);
                return Ok(too_large);
            };
            tries += 1;
            let stalled = matches!(error, BrokerError::Stalled(_));
            if error.is_of_queue() && (stalled || tries >= TRIES) {
                let wait = self.pipes.failed(&pipe);
                tracing::warn!(%error, pipe, messages = left.len(), "a pipe takes no messages; they wait in the outbox");
                self.defer(source, run, left, wait).await?;
                return Ok(too_large);
            }
            tracing::warn!(%error, pipe, messages = left.len(), "cannot publish task messages; trying again");
            if !backoff.pause(&self.shutdown).await {
                return Err(Interrupted::Shutdown);
            }
            if !self.relay.store().is_sendable(&source.meta, run).await? {
                return Err(Interrupted::Changed);
            }
        }
    }

    /// Publishes to one pipe. A publish that takes long gives up its slot, unless too much waits
    /// like that already, and is given up once its items are not to be sent any more.
    async fn publish_slowly(
        &self,
        pipe: &str,
        source: &PageSource,
        run: u32,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Result<(), BrokerError>>, Interrupted> {
        let bytes: usize = messages.iter().map(|message| message.body.len()).sum();
        let publishing = self.relay.broker().publish(messages);
        tokio::pin!(publishing);
        tokio::select! {
            biased;
            results = &mut publishing => return Ok(results),
            () = tokio::time::sleep(SLOW) => {}
        }
        let units = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let _waiting = self
            .slow
            .try_acquire_many(units)
            .inspect(|_| self.slot.give_back());
        let mut stalled = false;
        loop {
            tokio::select! {
                biased;
                results = &mut publishing => return Ok(results),
                () = tokio::time::sleep(STALLED) => {}
            }
            if !stalled {
                stalled = true;
                self.pipes.failed(pipe);
            }
            if !self.relay.store().is_sendable(&source.meta, run).await? {
                return Err(Interrupted::Changed);
            }
        }
    }

    /// Puts items into the outbox, to be sent after `wait` at the earliest.
    async fn defer(
        &self,
        source: &PageSource,
        run: u32,
        sends: Vec<TaskSend>,
        wait: Duration,
    ) -> Result<(), Interrupted> {
        let items = sends.iter().flat_map(|send| &send.items);
        let indexes = items.map(|item| item.index).collect();
        let store = self.relay.store();
        store
            .defer_dispatch(source.meta.uid, source.page, run, indexes, wait)
            .await?;
        Ok(())
    }
}
