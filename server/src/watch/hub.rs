//! The task of the hub. It listens for changes, reads each changed job once, and shows the new
//! state to all of its watchers. It also forwards changes to watched partitions.
//!
//! Events may be lost at any time. So the hub compares every job that gains a watcher with the
//! database once, and all watched jobs from time to time. It neither listens for nor reads jobs
//! that nobody watches.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use headway_broker::Broker;
use headway_domain::JobUid;
use headway_store::{JobStates, Store, StoreError};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    feed::{Feed, Heard},
    partition::Partitions,
    table::Hub,
};

/// Statements that read jobs at the same time. While they run, further changes gather for the next
/// one.
const READS: usize = 2;
/// Jobs that one statement reads.
const READ: usize = 256;
/// Jobs that one statement compares.
const CHUNK: usize = 500;

/// The task of the hub.
pub(crate) struct HubTask {
    hub: Hub,
    partitions: Partitions,
    store: Store,
    feed: Feed,
    repair_interval: Duration,
    /// The event shards of watched jobs.
    keys: BTreeSet<u8>,
    /// Jobs to read, in order. Each watched job is in it at most once, which bounds it.
    queue: VecDeque<JobUid>,
    queued: BTreeSet<JobUid>,
    /// Jobs that could not be read. The next repair tries again.
    failed: Vec<JobUid>,
    work: JoinSet<Work>,
    reading: usize,
    /// Whether a comparison of all watched jobs is running.
    comparing: bool,
    /// Whether to compare all watched jobs as soon as possible.
    doubt: bool,
    /// Whether the last statement failed.
    away: bool,
}

/// The result of a task of the hub.
enum Work {
    Read(Vec<JobUid>, Result<JobStates, StoreError>),
    Compared {
        asked: Vec<JobUid>,
        all: bool,
        found: Result<HashMap<JobUid, i64>, StoreError>,
    },
}

impl HubTask {
    pub(crate) fn new(
        hub: Hub,
        partitions: Partitions,
        store: Store,
        broker: Arc<dyn Broker>,
        repair_interval: Duration,
    ) -> Self {
        Self {
            hub,
            partitions,
            store,
            feed: Feed::new(broker),
            repair_interval,
            keys: BTreeSet::new(),
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            failed: Vec::new(),
            work: JoinSet::new(),
            reading: 0,
            comparing: false,
            doubt: false,
            away: false,
        }
    }

    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// If one of the tasks of the hub panicked.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut repair = tokio::time::interval(self.repair_interval);
        repair.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut lost = false;
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                heard = self.feed.next() => match heard {
                    Heard::Changed(change) => {
                        self.partitions.note(&change);
                        self.note(change.uid, change.revision);
                    }
                    Heard::MaybeLost => lost = true,
                },
                () = self.hub.gained() => {}
                () = self.partitions.gained() => {}
                Some(done) = self.work.join_next() => self.done(done?),
                _ = repair.tick() => self.repair(),
            }
            self.welcome().await;
            if lost {
                self.partitions.doubt();
                self.doubt = true;
            }
            self.start();
        }
    }

    fn note(&mut self, uid: JobUid, revision: i64) {
        if self.hub.note(uid, revision) {
            self.enqueue(uid);
        }
    }

    fn enqueue(&mut self, uid: JobUid) {
        if self.queued.insert(uid) {
            self.queue.push_back(uid);
        }
    }

    fn repair(&mut self) {
        self.doubt = true;
        for uid in std::mem::take(&mut self.failed) {
            self.enqueue(uid);
        }
        // Keys are removed only here, so that watchers that come and go do not make the broker bind
        // and unbind.
        self.keys = self
            .hub
            .watched()
            .iter()
            .map(|uid| uid.event_key())
            .collect();
    }

    /// Listens for new jobs first and then compares them, so that no change is missed in between.
    async fn welcome(&mut self) {
        let fresh = self.hub.take_fresh();
        self.keys.extend(fresh.iter().map(|uid| uid.event_key()));
        let partitions = self.partitions.take_fresh();
        match self.partitions.any() {
            // Nobody knows which jobs will be created in a partition, so listen to all shards.
            true => self.feed.listen(&(0..=u8::MAX).collect()).await,
            false => self.feed.listen(&self.keys).await,
        }
        if !partitions.is_empty() {
            self.partitions.listened(partitions);
        }
        if !fresh.is_empty() {
            self.compare(fresh, false);
        }
    }

    fn start(&mut self) {
        if self.doubt && !self.comparing {
            self.doubt = false;
            let watched = self.hub.watched();
            if !watched.is_empty() {
                self.comparing = true;
                self.compare(watched, true);
            }
        }
        while self.reading < READS {
            let mut uids = Vec::new();
            while uids.len() < READ
                && let Some(uid) = self.queue.pop_front()
            {
                self.queued.remove(&uid);
                if self.hub.begin(uid) {
                    uids.push(uid);
                }
            }
            if uids.is_empty() {
                return;
            }
            self.reading += 1;
            let store = self.store.clone();
            self.work.spawn(async move {
                let states = store.job_states(&uids).await;
                Work::Read(uids, states)
            });
        }
    }

    fn compare(&mut self, asked: Vec<JobUid>, all: bool) {
        let store = self.store.clone();
        self.work.spawn(async move {
            let found = revisions(&store, &asked).await;
            Work::Compared { asked, all, found }
        });
    }

    fn done(&mut self, work: Work) {
        match work {
            Work::Read(uids, result) => {
                self.reading -= 1;
                match result {
                    Ok(mut states) => {
                        self.answered();
                        for uid in uids {
                            if states.unreadable.contains(&uid) {
                                self.hub.not_read(uid);
                                self.failed.push(uid);
                                continue;
                            }
                            let view = states.views.remove(&uid);
                            if self.hub.read(uid, view.map(|view| Arc::new(view.into()))) {
                                self.enqueue(uid);
                            }
                        }
                    }
                    Err(error) => {
                        for uid in uids {
                            self.hub.not_read(uid);
                            self.failed.push(uid);
                        }
                        self.unanswered(&error);
                    }
                }
            }
            Work::Compared { asked, all, found } => {
                self.comparing &= !all;
                match found {
                    Ok(found) => {
                        self.answered();
                        for uid in asked {
                            match found.get(&uid) {
                                Some(revision) => self.note(uid, *revision),
                                // The job seems to be gone; reading it decides.
                                None => self.enqueue(uid),
                            }
                        }
                    }
                    // The next repair compares everything.
                    Err(error) => self.unanswered(&error),
                }
            }
        }
    }

    fn answered(&mut self) {
        if std::mem::take(&mut self.away) {
            tracing::info!("watched jobs can be read again");
        }
    }

    fn unanswered(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!(%error, "cannot read watched jobs; trying again, watchers see no changes meanwhile");
        }
    }
}

async fn revisions(store: &Store, asked: &[JobUid]) -> Result<HashMap<JobUid, i64>, StoreError> {
    let mut found = HashMap::with_capacity(asked.len());
    for chunk in asked.chunks(CHUNK) {
        found.extend(store.revisions(chunk).await?);
    }
    Ok(found)
}
