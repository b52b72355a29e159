//! Which revisions of jobs were shown or read lately, so that none is twice.

use std::collections::HashMap;

use headway_domain::JobUid;

/// Jobs in one generation of a watcher's memory; two are kept, of about 48 bytes a job.
const GENERATION: usize = 2048;

/// What was last said of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It was shown at this revision.
    Shown(i64),
    /// It was said to be gone, at this revision.
    Hidden(i64),
}

impl Said {
    /// The revision.
    pub(super) fn revision(self) -> i64 {
        match self {
            Self::Shown(revision) | Self::Hidden(revision) => revision,
        }
    }
}

/// The memory: of the jobs of one generation at least, of two at most.
#[derive(Debug)]
pub(super) struct Shown {
    generation: usize,
    fresh: HashMap<JobUid, Said>,
    old: HashMap<JobUid, Said>,
}

impl Default for Shown {
    fn default() -> Self {
        Self::of(GENERATION)
    }
}

impl Shown {
    /// A memory of so many jobs at least.
    pub(super) fn of(generation: usize) -> Self {
        Self {
            generation,
            fresh: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// What was last said of a job, if it is remembered.
    pub(super) fn get(&self, uid: JobUid) -> Option<Said> {
        self.fresh.get(&uid).or_else(|| self.old.get(&uid)).copied()
    }

    /// Remembers what is said of a job.
    pub(super) fn note(&mut self, uid: JobUid, said: Said) {
        if self.fresh.len() >= self.generation && !self.fresh.contains_key(&uid) {
            self.old = std::mem::take(&mut self.fresh);
        }
        self.fresh.insert(uid, said);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::of(self.generation);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let mut shown = Shown::default();
        let uid = |number: usize| JobUid(Uuid::from_u128(number as u128));
        for number in 0..3 * GENERATION {
            shown.note(uid(number), Said::Shown(1));
        }
        assert_eq!(shown.get(uid(3 * GENERATION - 1)), Some(Said::Shown(1)));
        assert_eq!(shown.get(uid(2 * GENERATION)), Some(Said::Shown(1)));
        assert_eq!(shown.get(uid(0)), None);
        assert!(shown.fresh.len() + shown.old.len() <= 2 * GENERATION);
        shown.note(uid(2 * GENERATION), Said::Hidden(2));
        assert_eq!(shown.get(uid(2 * GENERATION)), Some(Said::Hidden(2)));
    }
}
