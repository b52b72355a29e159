//! The changes of a watched partition: the newest state of each job, in the order of the last
//! changes. The number of jobs bounds it, not the number of changes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headway_domain::{JobName, JobUid};
use headway_store::JobView;

/// The most jobs that a log keeps.
const KEPT: usize = 2048;

/// A job that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    /// The job.
    pub(crate) uid: JobUid,
    /// Its name.
    pub(crate) name: JobName,
    /// Whether it was deleted. If not, it no longer matches.
    pub(crate) deleted: bool,
}

/// What happened to a job.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// It has a new state.
    State(Arc<JobView>),
    /// It was deleted.
    Deleted(Gone),
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct Log {
    next: u64,
    /// Entries before this place are forgotten.
    floor: u64,
    order: BTreeMap<u64, Entry>,
    place: HashMap<JobUid, u64>,
}

impl Log {
    /// The place of the next entry. A reader that begins here sees every later entry.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a state. Returns whether it is newer than the job's state in the log.
    pub(super) fn put(&mut self, view: Arc<JobView>) -> bool {
        let uid = view.job.meta.uid;
        match self.place.get(&uid).and_then(|place| self.order.get(place)) {
            Some(Entry::State(old)) if old.job.revision >= view.job.revision => return false,
            // A job that uses the name again has another uid.
            Some(Entry::Deleted(_)) => return false,
            Some(Entry::State(_)) | None => {}
        }
        self.append(uid, Entry::State(view));
        true
    }

    /// Records that a job was deleted. Returns whether that is new.
    pub(super) fn delete(&mut self, uid: JobUid, name: JobName) -> bool {
        let known = self.place.get(&uid).and_then(|place| self.order.get(place));
        if matches!(known, Some(Entry::Deleted(_))) {
            return false;
        }
        let gone = Gone {
            uid,
            name,
            deleted: true,
        };
        self.append(uid, Entry::Deleted(gone));
        true
    }

    fn append(&mut self, uid: JobUid, entry: Entry) {
        if let Some(before) = self.place.insert(uid, self.next) {
            self.order.remove(&before);
        }
        self.order.insert(self.next, entry);
        self.next += 1;
        while self.order.len() > KEPT {
            if let Some((place, entry)) = self.order.pop_first() {
                self.place.remove(&entry.uid());
                self.floor = place + 1;
            }
        }
    }

    /// Forgets everything, so that readers continue from the database.
    pub(super) fn forget(&mut self) {
        self.order.clear();
        self.place.clear();
        // A reader that is up to date must notice too.
        self.next += 1;
        self.floor = self.next;
    }

    /// Up to `most` entries from a place on, each with the place after it. `None` if the log has
    /// forgotten some.
    pub(super) fn since(&self, place: u64, most: usize) -> Option<Vec<(u64, Entry)>> {
        if place < self.floor {
            return None;
        }
        let entries = self.order.range(place..).take(most);
        Some(
            entries
                .map(|(place, entry)| (place + 1, entry.clone()))
                .collect(),
        )
    }
}

impl Entry {
    fn uid(&self) -> JobUid {
        match self {
            Self::State(view) => view.job.meta.uid,
            Self::Deleted(gone) => gone.uid,
        }
    }
}

#[cfg(test)]
mod tests {
    use headway_domain::jobs::Phase;
    use uuid::Uuid;

    use super::{super::super::table::tests::view, *};

    fn uid(number: u128) -> JobUid {
        JobUid(Uuid::from_u128(number))
    }

    fn seen(log: &Log, place: u64) -> Vec<(u128, i64)> {
        let entries = log.since(place, usize::MAX).unwrap();
        entries
            .into_iter()
            .map(|(_, entry)| match entry {
                Entry::State(view) => (view.job.meta.uid.0.as_u128(), view.job.revision),
                Entry::Deleted(gone) => (gone.uid.0.as_u128(), -1),
            })
            .collect()
    }

    #[test]
    fn a_job_stands_once_at_its_last_change() {
        let mut log = Log::default();
        assert!(log.put(view(1, 1, Phase::Active)));
        assert!(log.put(view(2, 1, Phase::Active)));
        let place = log.next();
        assert!(log.put(view(1, 2, Phase::Active)));
        assert!(!log.put(view(1, 2, Phase::Active)), "it is not newer");
        assert!(!log.put(view(1, 1, Phase::Active)), "it is older");
        assert_eq!(seen(&log, 0), [(2, 1), (1, 2)]);
        assert_eq!(seen(&log, place), [(1, 2)]);
        assert_eq!(seen(&log, log.next()), []);
    }

    #[test]
    fn what_was_deleted_stays_deleted() {
        let mut log = Log::default();
        log.put(view(1, 5, Phase::Active));
        let name: JobName = "partitions/p/jobs/j".parse().unwrap();
        assert!(log.delete(uid(1), name.clone()));
        assert!(!log.delete(uid(1), name));
        assert!(!log.put(view(1, 6, Phase::Active)));
        assert_eq!(seen(&log, 0), [(1, -1)]);
    }

    #[test]
    fn readers_learn_that_the_log_has_forgotten() {
        let mut log = Log::default();
        for number in 0..u128::try_from(KEPT).unwrap() + 2 {
            log.put(view(number, 1, Phase::Active));
        }
        assert!(log.since(1, 10).is_none());
        assert_eq!(log.since(2, 10).unwrap().len(), 10);
        assert_eq!(seen(&log, 2).len(), KEPT);
        assert_eq!(log.place.len(), KEPT);
        let up_to_date = log.next();
        log.forget();
        assert!(log.since(up_to_date, 10).is_none());
        assert_eq!(log.since(log.next(), 10).unwrap().len(), 0);
    }
}
