//! Which jobs are watched, and what the hub knows about each. The hub's task and the watchers share
//! it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headway_domain::JobUid;
use tokio::sync::{Notify, watch};

use super::shown::ShownState;
use crate::grpc::status::ApiError;

/// What a watcher sees of its job.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// The newest state.
    State(Arc<ShownState>),
    /// The job was deleted.
    Gone(Arc<ShownState>),
}

impl Seen {
    fn revision(&self) -> i64 {
        match self {
            Self::State(view) | Self::Gone(view) => view.job.revision,
        }
    }
}

/// The handle by which calls watch jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Notified when the first watcher of a job comes.
    wake: Notify,
    /// The most watchers.
    most: usize,
}

#[derive(Debug, Default)]
struct Table {
    jobs: HashMap<JobUid, Entry>,
    watchers: usize,
    /// Jobs that gained a watcher and may have changed since its snapshot was read.
    fresh: BTreeSet<JobUid>,
}

#[derive(Debug)]
struct Entry {
    state: watch::Sender<Seen>,
    watchers: usize,
    /// The highest revision that an event or a comparison named.
    heard: i64,
    /// Set while the job is being read: the value of `heard` when the read began.
    reading: Option<i64>,
}

impl Hub {
    /// A hub for at most this many watchers.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                table: Mutex::default(),
                wake: Notify::new(),
                most,
            }),
        }
    }

    /// Watches a job, starting from this snapshot.
    ///
    /// # Errors
    /// [`ApiError::TooManyWatches`].
    pub(crate) fn watch(&self, view: Arc<ShownState>) -> Result<Watched, ApiError> {
        let uid = view.job.meta.uid;
        let mut table = self.lock();
        if table.watchers >= self.shared.most {
            return Err(ApiError::TooManyWatches(self.shared.most));
        }
        table.watchers += 1;
        let entry = table.jobs.entry(uid).or_insert_with(|| Entry {
            state: watch::Sender::new(Seen::State(Arc::clone(&view))),
            watchers: 0,
            heard: view.job.revision,
            reading: None,
        });
        entry.watchers += 1;
        entry.show(view);
        let receiver = entry.state.subscribe();
        table.fresh.insert(uid);
        drop(table);
        self.shared.wake.notify_one();
        Ok(Watched {
            receiver,
            _place: Place {
                hub: self.clone(),
                uid,
            },
        })
    }

    /// Waits until a job gains its first watcher. Cancel-safe: it misses none in between.
    pub(super) async fn gained(&self) {
        self.shared.wake.notified().await;
    }

    /// Takes the jobs that gained a watcher since the last call.
    pub(super) fn take_fresh(&self) -> Vec<JobUid> {
        std::mem::take(&mut self.lock().fresh).into_iter().collect()
    }

    /// All watched jobs that are not gone.
    pub(super) fn watched(&self) -> Vec<JobUid> {
        let table = self.lock();
        let live = table.jobs.iter().filter(|(_, entry)| !entry.is_gone());
        live.map(|(uid, _)| *uid).collect()
    }

    /// Records that a job has this revision. Returns whether the job must be read because of it.
    pub(super) fn note(&self, uid: JobUid, revision: i64) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&uid) else {
            return false;
        };
        entry.heard = entry.heard.max(revision);
        // While the job is being read, the end of that read decides.
        entry.reading.is_none() && !entry.is_gone() && revision > entry.state.borrow().revision()
    }

    /// Begins to read a job. Returns whether it is still watched and not being read already.
    pub(super) fn begin(&self, uid: JobUid) -> bool {
        let mut table = self.lock();
        match table.jobs.get_mut(&uid) {
            Some(entry) if entry.reading.is_none() && !entry.is_gone() => {
                entry.reading = Some(entry.heard);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Shows the state that was read, or `None` if the job is gone. Returns whether it must be read
    /// again.
    pub(super) fn read(&self, uid: JobUid, view: Option<Arc<ShownState>>) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&uid) else {
            return false;
        };
        let known_before = entry.reading.take().unwrap_or(entry.heard);
        let Some(view) = view else {
            entry.end();
            return false;
        };
        let revision = view.job.revision;
        entry.show(view);
        if entry.heard <= revision {
            return false;
        }
        if entry.heard > known_before {
            return true;
        }
        // The read came after the event that named a higher revision, so the event was wrong.
        // Ignore it.
        entry.heard = revision;
        false
    }

    /// Records that reading a job failed.
    pub(super) fn not_read(&self, uid: JobUid) {
        if let Some(entry) = self.lock().jobs.get_mut(&uid) {
            entry.reading = None;
        }
    }

    fn leave(&self, uid: JobUid) {
        let mut table = self.lock();
        table.watchers = table.watchers.saturating_sub(1);
        let Some(entry) = table.jobs.get_mut(&uid) else {
            return;
        };
        entry.watchers = entry.watchers.saturating_sub(1);
        if entry.watchers == 0 {
            table.jobs.remove(&uid);
            table.fresh.remove(&uid);
        }
    }

    /// No code can panic while it holds the lock, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.shared
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_gone(&self) -> bool {
        matches!(*self.state.borrow(), Seen::Gone(_))
    }

    /// Shows a state unless a newer one is shown or the job is gone.
    fn show(&self, view: Arc<ShownState>) {
        self.state.send_if_modified(|seen| match seen {
            Seen::State(old) if old.job.revision < view.job.revision => {
                *seen = Seen::State(view);
                true
            }
            // Old watchers have seen this state; new ones need fresh rates.
            Seen::State(old) if old.job.revision == view.job.revision && !old.is_fresh() => {
                *seen = Seen::State(view);
                false
            }
            Seen::State(_) | Seen::Gone(_) => false,
        });
    }

    fn end(&self) {
        self.state.send_if_modified(|seen| match seen {
            Seen::State(last) => {
                *seen = Seen::Gone(Arc::clone(last));
                true
            }
            Seen::Gone(_) => false,
        });
    }
}

/// One watcher's view of its job. Dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(super) receiver: watch::Receiver<Seen>,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    hub: Hub,
    uid: JobUid,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.leave(self.uid);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use headway_domain::{
        Job, PipeName,
        jobs::{JobMeta, JobSpec, Phase, TaskSpec, Work},
    };
    use headway_store::JobView;
    use uuid::Uuid;

    use super::*;

    /// A job of this number at this revision.
    pub(crate) fn view(number: u128, revision: i64, phase: Phase) -> Arc<JobView> {
        let work = Work::Task(TaskSpec {
            pipe: PipeName::new("p").unwrap(),
            task_type: String::new(),
            payload: Vec::new(),
            content_type: String::new(),
            headers: BTreeMap::new(),
        });
        let meta = JobMeta {
            key: 1,
            uid: JobUid(Uuid::from_u128(number)),
            name: "partitions/p/jobs/j".parse().unwrap(),
            shard: 0,
            spec: JobSpec::new(work),
            creator: String::new(),
            created: 0,
            version: 0,
        };
        let mut job = Job::new(Arc::new(meta), 1);
        job.revision = revision;
        job.phase = phase;
        Arc::new(JobView {
            job,
            body: None,
            failures: Vec::new(),
            prerequisites: Vec::new(),
        })
    }

    /// The same job as watchers see it.
    pub(crate) fn state(number: u128, revision: i64, phase: Phase) -> Arc<ShownState> {
        let view = Arc::unwrap_or_clone(view(number, revision, phase));
        Arc::new(view.into())
    }

    fn active(revision: i64) -> Arc<ShownState> {
        state(1, revision, Phase::Active)
    }

    fn shown(watched: &Watched) -> i64 {
        watched.receiver.borrow().revision()
    }

    const JOB: JobUid = JobUid(Uuid::from_u128(1));

    #[test]
    fn places_are_counted_and_given_back() {
        let hub = Hub::new(2);
        let first = hub.watch(active(1)).unwrap();
        let _second = hub.watch(active(1)).unwrap();
        assert!(matches!(
            hub.watch(active(1)),
            Err(ApiError::TooManyWatches(2))
        ));
        drop(first);
        let _third = hub.watch(state(2, 1, Phase::Active)).unwrap();
        assert_eq!(hub.watched().len(), 2);
        drop((_second, _third));
        assert!(hub.watched().is_empty());
        assert!(hub.take_fresh().is_empty());
        assert!(!hub.note(JOB, 9), "nobody watches it");
    }

    #[test]
    fn a_revision_is_read_once_and_never_shown_backwards() {
        let hub = Hub::new(10);
        let watched = hub.watch(active(3)).unwrap();
        assert!(!hub.note(JOB, 3));
        assert!(hub.note(JOB, 4));
        assert!(hub.begin(JOB));
        assert!(!hub.begin(JOB), "one reading at a time");
        assert!(!hub.note(JOB, 5), "the reading under way decides");
        assert!(hub.read(JOB, Some(active(4))), "5 was heard meanwhile");
        assert_eq!(shown(&watched), 4);
        assert!(hub.begin(JOB));
        assert!(!hub.read(JOB, Some(active(6))));
        assert!(hub.begin(JOB));
        assert!(!hub.read(JOB, Some(active(5))), "an old answer");
        assert_eq!(shown(&watched), 6);
        // A newer snapshot of another watcher counts for all.
        let _other = hub.watch(active(8)).unwrap();
        assert_eq!(shown(&watched), 8);
    }

    #[test]
    fn an_event_that_is_wrong_does_not_keep_the_hub_busy() {
        let hub = Hub::new(10);
        let _watched = hub.watch(active(3)).unwrap();
        assert!(hub.note(JOB, 1000));
        assert!(hub.begin(JOB));
        assert!(!hub.read(JOB, Some(active(3))));
        assert!(hub.note(JOB, 4));
    }

    #[test]
    fn what_is_gone_stays_gone() {
        let hub = Hub::new(10);
        let watched = hub.watch(active(3)).unwrap();
        assert!(hub.begin(JOB));
        assert!(!hub.read(JOB, None));
        assert!(matches!(*watched.receiver.borrow(), Seen::Gone(_)));
        assert!(!hub.note(JOB, 10));
        assert!(!hub.begin(JOB));
        let late = hub.watch(active(4)).unwrap();
        assert!(matches!(*late.receiver.borrow(), Seen::Gone(_)));
        assert!(hub.watched().is_empty());
    }
}
