//! What this worker knows of jobs' states: the newest control counter and disposition of each.
//!
//! The cache is bounded and may be empty: a job that it does not know is as its message says.

use std::collections::{BTreeMap, HashMap};

use headway::wire::{ControlMessage, Disposition};

/// How many jobs are remembered unless told otherwise.
pub const DEFAULT_STATUS_CAPACITY: usize = 10_000;

/// A job's uid.
pub type JobUid = [u8; 16];

/// What a worker does with an item instead of running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withhold {
    /// Reports it as parked.
    Park,
    /// Reports it as discarded.
    Discard,
}

#[derive(Debug, Clone, Copy)]
struct Status {
    control: u32,
    withhold: Option<Withhold>,
    /// When it was learned, as a rising number.
    learned: u64,
}

/// The newest known status of each job, at most `capacity` jobs; the one that changed longest ago
/// goes first.
#[derive(Debug)]
pub(crate) struct StatusCache {
    capacity: usize,
    jobs: HashMap<JobUid, Status>,
    by_age: BTreeMap<u64, JobUid>,
    clock: u64,
}

impl StatusCache {
    /// An empty cache for at most `capacity` jobs.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            jobs: HashMap::new(),
            by_age: BTreeMap::new(),
            clock: 0,
        }
    }

    /// Learns a status. Returns it if it is news: its counter is higher than what was known.
    pub(crate) fn learn(&mut self, message: &ControlMessage) -> Option<(JobUid, Option<Withhold>)> {
        let uid = JobUid::try_from(message.job_uid.as_ref()).ok()?;
        let withhold = match message.disposition() {
            Disposition::Unspecified => return None,
            Disposition::Run => None,
            Disposition::Park => Some(Withhold::Park),
            Disposition::Discard => Some(Withhold::Discard),
        };
        if let Some(known) = self.jobs.get(&uid) {
            if known.control >= message.control {
                return None;
            }
            self.by_age.remove(&known.learned);
        }
        self.clock += 1;
        self.jobs.insert(
            uid,
            Status {
                control: message.control,
                withhold,
                learned: self.clock,
            },
        );
        self.by_age.insert(self.clock, uid);
        while self.jobs.len() > self.capacity {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                break;
            };
            self.jobs.remove(&oldest);
        }
        Some((uid, withhold))
    }

    /// What to do with items of a message that was made at `control`, or `None` to run them. A
    /// status older than the message says nothing: the job may have been resumed or retried since.
    pub(crate) fn withhold(&self, uid: &JobUid, control: u32) -> Option<Withhold> {
        let status = self.jobs.get(uid)?;
        if status.control < control {
            return None;
        }
        status.withhold
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(uid: u8, control: u32, disposition: Disposition) -> ControlMessage {
        ControlMessage {
            job_uid: Bytes::copy_from_slice(&[uid; 16]),
            control,
            disposition: disposition.into(),
        }
    }

    #[test]
    fn only_a_status_as_new_as_the_message_counts() {
        let mut cache = StatusCache::new(8);
        cache.learn(&message(1, 5, Disposition::Park));
        assert_eq!(cache.withhold(&[1; 16], 4), Some(Withhold::Park));
        assert_eq!(cache.withhold(&[1; 16], 5), Some(Withhold::Park));
        assert_eq!(cache.withhold(&[1; 16], 6), None);
        assert_eq!(cache.withhold(&[2; 16], 0), None);
    }

    #[test]
    fn the_highest_counter_wins_in_any_order() {
        let mut cache = StatusCache::new(8);
        assert!(cache.learn(&message(1, 2, Disposition::Run)).is_some());
        assert!(cache.learn(&message(1, 1, Disposition::Discard)).is_none());
        assert!(cache.learn(&message(1, 2, Disposition::Discard)).is_none());
        assert_eq!(cache.withhold(&[1; 16], 0), None);
        assert!(cache.learn(&message(1, 3, Disposition::Discard)).is_some());
        assert_eq!(cache.withhold(&[1; 16], 3), Some(Withhold::Discard));
    }

    #[test]
    fn nonsense_is_ignored() {
        let mut cache = StatusCache::new(8);
        assert!(
            cache
                .learn(&message(1, 1, Disposition::Unspecified))
                .is_none()
        );
        let short = ControlMessage {
            job_uid: Bytes::from_static(b"short"),
            ..message(1, 1, Disposition::Park)
        };
        assert!(cache.learn(&short).is_none());
        let unknown = ControlMessage {
            disposition: 99,
            ..message(1, 1, Disposition::Park)
        };
        assert!(cache.learn(&unknown).is_none());
    }

    #[test]
    fn it_forgets_what_changed_longest_ago() {
        let mut cache = StatusCache::new(2);
        cache.learn(&message(1, 1, Disposition::Park));
        cache.learn(&message(2, 1, Disposition::Park));
        cache.learn(&message(1, 2, Disposition::Park));
        cache.learn(&message(3, 1, Disposition::Park));
        assert_eq!(cache.withhold(&[2; 16], 0), None);
        assert_eq!(cache.withhold(&[1; 16], 0), Some(Withhold::Park));
        assert_eq!(cache.withhold(&[3; 16], 0), Some(Withhold::Park));
        assert_eq!((cache.jobs.len(), cache.by_age.len()), (2, 2));
    }
}
