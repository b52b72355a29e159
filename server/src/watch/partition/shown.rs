//! Which revisions of jobs were shown or read lately, to avoid repetitions.

use std::collections::HashMap;

use headway_domain::JobUid;

/// The jobs in one generation of a watcher's memory. Two generations are kept, at about 48 bytes a
/// job.
const GENERATION: usize = 2048;

/// What was last sent about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Its state, at this revision.
    Shown(i64),
    /// That it is gone, at this revision.
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

/// The memory. It holds the jobs of at least one generation and at most two.
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
    /// A memory of at least this many jobs.
    pub(super) fn of(generation: usize) -> Self {
        Self {
            generation,
            fresh: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// What was last sent about a job, if the memory still has it.
    pub(super) fn get(&self, uid: JobUid) -> Option<Said> {
        self.fresh.get(&uid).or_else(|| self.old.get(&uid)).copied()
    }

    /// Records what is sent about a job.
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
