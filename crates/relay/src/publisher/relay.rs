//! Publishing what a commit caused: owed messages with confirms, then broadcasts that nobody waits
//! for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headway_broker::{Broker, Outgoing, Queue, Topic};
use headway_domain::jobs::Work;
use headway_runtime::tasks;
use headway_store::{Change, Committed, Created, OutboxKind, OutboxMessage, Store, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::windows::{QueueWindows, Windows};
use crate::codec::{TaskMessages, encode_change, encode_control, encode_owed, first_try};

/// Confirmed messages that wait to be deleted from the outbox. When full, the publisher waits for
/// the deleter.
const CONFIRMED: usize = 64;
/// Outbox rows deleted in one statement.
const DELETED: usize = 1000;
/// How long a commit's publisher waits for confirms before it leaves them to a task.
const PATIENCE: Duration = Duration::from_millis(200);
/// Overdue messages taken in one round of the sweep.
const SWEEP: u32 = 1000;

/// Publishes what commits caused; cheap to clone.
#[derive(Debug, Clone)]
pub struct Relay {
    store: Store,
    broker: Arc<dyn Broker>,
    windows: Arc<Windows>,
    confirmed: mpsc::Sender<Vec<i64>>,
    releases: Arc<Notify>,
}

impl Relay {
    /// A relay and its task, which deletes confirmed messages from the outbox and lets jobs go on
    /// whose prerequisites ended. It ends after `shutdown`, when it has deleted what was confirmed
    /// before.
    pub fn new(
        store: Store,
        broker: Arc<dyn Broker>,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (confirmed, rows) = mpsc::channel(CONFIRMED);
        let relay = Self {
            store,
            broker,
            windows: Arc::default(),
            confirmed,
            releases: Arc::default(),
        };
        let deleter = delete_confirmed(relay.store.clone(), rows, shutdown.clone());
        let releaser = relay.clone().release_dependents(shutdown);
        let both = async move {
            tokio::join!(deleter, releaser);
        };
        (relay, both)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The broker.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Publishes what a commit caused. What cannot be published stays in the outbox for the sweep.
    pub async fn publish(&self, committed: Committed) {
        for control in &committed.controls {
            self.broker
                .broadcast(Topic::Control, 0, encode_control(control))
                .await;
        }
        if committed.releases {
            self.look_at_dependents();
        }
        let messages = committed.outbox.iter().map(batch_message).collect();
        self.send(&committed.outbox, messages).await;
        self.tell(&committed.changes).await;
    }

    /// Has the relay's task look at jobs that wait for others; one of them may go on.
    pub fn look_at_dependents(&self) {
        self.releases.notify_one();
    }

    /// Lets jobs go on whose prerequisites ended, whenever one did.
    async fn release_dependents(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.releases.notified() => {}
            }
            while !shutdown.is_cancelled() {
                match self.store.release_dependents().await {
                    Ok((committed, more)) => {
                        self.publish(committed).await;
                        if !more {
                            break;
                        }
                    }
                    Err(error) => {
                        // A sweep comes back to it.
                        tracing::warn!(%error, "cannot release the dependents of ended jobs; trying again at the next sweep");
                        break;
                    }
                }
            }
        }
    }

    /// Tells whoever watches; nobody waits for it, and what is lost is found by comparing.
    async fn tell(&self, changes: &[Change]) {
        for change in changes {
            self.broker
                .broadcast(Topic::Events, change.uid.event_key(), encode_change(change))
                .await;
        }
    }

    /// Publishes what the creation of a job caused. A single task goes to its pipe at once, without
    /// the detour over a batch worker.
    pub async fn publish_created(&self, created: &Created, body: Bytes) {
        if created.committed.releases {
            self.look_at_dependents();
        }
        let meta = &created.view.job.meta;
        let owed = &created.committed.outbox;
        let messages = match (&meta.spec.work, owed.as_slice()) {
            (Work::Task(_), [only]) if only.kind == OutboxKind::Dispatch => {
                let job = &created.view.job;
                let mut tasks = TaskMessages::new(meta, only.page, job.run, job.control);
                let complete = tasks.add(first_try(0, 0), body);
                let send = complete.or_else(|| tasks.finish());
                send.into_iter().map(|send| send.message).collect()
            }
            _ => owed.iter().map(batch_message).collect(),
        };
        self.send(owed, messages).await;
        self.tell(&created.committed.changes).await;
    }

    /// Publishes messages of the outbox. What the broker does not confirm soon is left to a task of
    /// its own: a commit never waits for a queue that does not answer.
    async fn send(&self, owed: &[OutboxMessage], messages: Vec<Outgoing>) {
        let Some(first) = messages.first() else {
            return;
        };
        let windows = self.windows.of(&first.queue);
        let ids = owed.iter().map(|owed| owed.id).collect();
        let outbox = self.clone().publish_outbox(windows.clone(), ids, messages);
        let publishing = tasks::spawn(outbox);
        if !windows.is_slow() && tokio::time::timeout(PATIENCE, publishing).await.is_err() {
            windows.found_slow();
            tracing::debug!(
                "the broker confirms slowly; messages stay in the outbox until it confirms them"
            );
        }
    }

    /// Publishes messages of the outbox to one queue and has those that were confirmed deleted.
    /// Bounded: [`Windows`] refuses what is too much for one queue.
    async fn publish_outbox(
        self,
        windows: Arc<QueueWindows>,
        rows: Vec<i64>,
        messages: Vec<Outgoing>,
    ) {
        let results = windows.publish(self.broker.as_ref(), messages).await;
        let left = rows.len();
        let mut ids = Vec::with_capacity(left);
        let mut failure = None;
        for (row, result) in rows.into_iter().zip(results) {
            match result {
                Ok(()) => ids.push(row),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            tracing::warn!(%error, left = left - ids.len(), "cannot publish messages; they stay in the outbox for a later sweep");
        }
        if !ids.is_empty() && self.confirmed.send(ids).await.is_err() {
            // The deleter has ended: the rows stay, and the sweep of another process sends them
            // again, harmlessly.
            tracing::debug!(
                "the process is stopping; confirmed messages stay in the outbox and are sent again"
            );
        }
    }

    /// Publishes messages that have been owed for `age_us` or longer. How many there were.
    pub async fn sweep(&self, age_us: i64) -> Result<usize, StoreError> {
        let owed = self.store.outbox_overdue(age_us, SWEEP).await?;
        let count = owed.len();
        let messages = owed.iter().map(batch_message).collect();
        self.send(&owed, messages).await;
        Ok(count)
    }
}

fn batch_message(owed: &OutboxMessage) -> Outgoing {
    Outgoing {
        queue: Queue::Batch,
        body: encode_owed(owed),
    }
}

async fn delete_confirmed(
    store: Store,
    mut rows: mpsc::Receiver<Vec<i64>>,
    shutdown: CancellationToken,
) {
    loop {
        let first = tokio::select! {
            biased;
            first = rows.recv() => first,
            () = shutdown.cancelled() => {
                rows.close();
                rows.recv().await
            }
        };
        let Some(mut ids) = first else { return };
        while ids.len() < DELETED {
            match rows.try_recv() {
                Ok(more) => ids.extend(more),
                Err(_) => break,
            }
        }
        if let Err(error) = store.outbox_sent(&ids).await {
            // The sweep sends them again; duplicates are harmless.
            tracing::warn!(%error, "cannot delete confirmed messages from the outbox; they are sent again");
        }
    }
}
