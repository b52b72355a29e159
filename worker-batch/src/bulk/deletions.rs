//! Deleting jobs together: those that are asked for within a moment share a transaction, which
//! costs little more than one.

use std::{collections::BTreeMap, time::Duration};

use headway_domain::{JobName, PartitionId, events::Caller};
use headway_relay::Relay;
use headway_runtime::tasks;
use headway_store::{Committed, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

/// Jobs of one transaction at most; those that wait for it are as many.
const TOGETHER: usize = 100;
/// After a transaction it rests this many times as long as that took: what runs keeps most of the
/// database, and where nothing runs a transaction is short.
const REST: u32 = 7;
/// It does not rest for longer.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How long others are waited for.
const MOMENT: Duration = Duration::from_millis(5);

type Reply = oneshot::Sender<Result<(), String>>;

/// Asks for deletions; clones share transactions.
#[derive(Debug, Clone)]
pub(super) struct Deletions(mpsc::Sender<(JobName, Caller, Reply)>);

impl Deletions {
    /// Begins to delete, in a task that ends when nobody can ask any more.
    pub(crate) fn begin(relay: Relay) -> (Self, JoinHandle<()>) {
        let (asked, asking) = mpsc::channel(TOGETHER);
        let deleting = tasks::spawn(delete(relay, asking));
        (Self(asked), deleting)
    }

    /// Deletes a job; one that does not exist is no error.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; trying again helps.
    pub(crate) async fn delete(&self, name: JobName, caller: Caller) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the process is stopping".to_owned());
        let asked = self.0.send((name, caller, reply)).await;
        asked.map_err(|_| stopped())?;
        let answer = answer.await.map_err(|_| stopped())?;
        answer.map_err(StoreError::Unavailable)
    }
}

/// What is asked for of one partition.
#[derive(Default)]
struct Asked {
    jobs: Vec<(String, Caller)>,
    replies: Vec<Reply>,
}

async fn delete(relay: Relay, mut asking: mpsc::Receiver<(JobName, Caller, Reply)>) {
    while let Some(first) = asking.recv().await {
        let mut together = vec![first];
        let until = Instant::now() + MOMENT;
        while together.len() < TOGETHER {
            match tokio::time::timeout_at(until, asking.recv()).await {
                Ok(Some(another)) => together.push(another),
                Ok(None) | Err(_) => break,
            }
        }
        let mut partitions: BTreeMap<PartitionId, Asked> = BTreeMap::new();
        for (name, caller, reply) in together {
            let asked = partitions.entry(name.partition).or_default();
            asked.jobs.push((name.job.to_string(), caller));
            asked.replies.push(reply);
        }
        let begun = Instant::now();
        for (partition, Asked { jobs, replies }) in partitions {
            let deleted = relay.store().delete_jobs(&partition, &jobs).await;
            let answer = deleted.as_ref().map(|_| ()).map_err(ToString::to_string);
            relay
                .publish(deleted.unwrap_or_else(|_| Committed::default()))
                .await;
            for reply in replies {
                // An item that was given up finds its job gone when it is tried again.
                let _ = reply.send(answer.clone());
            }
        }
        tokio::time::sleep((begun.elapsed() * REST).min(LONGEST_REST)).await;
    }
}
