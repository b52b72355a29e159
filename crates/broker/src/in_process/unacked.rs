//! The deliveries in one consumer's hands, by number.
//!
//! Numbers rise and are mostly acknowledged in order, so they sit in a deque. A delivery that stays
//! unacknowledged while many later ones go moves to a small map, so the deque never grows with it.

use std::collections::{BTreeMap, VecDeque};

use super::queue::Message;

/// Below this many slots, gaps in the deque are not worth a thought.
const SLACK: usize = 1024;

/// The unacknowledged deliveries of one consumer.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    /// Numbers below this are in `stragglers` or gone; slot 0 of `recent` has this number.
    base: u64,
    recent: VecDeque<Option<Message>>,
    recent_live: usize,
    stragglers: BTreeMap<u64, Message>,
}

impl Unacked {
    /// How many deliveries are held.
    pub(crate) fn len(&self) -> usize {
        self.recent_live + self.stragglers.len()
    }

    /// Holds a delivery and returns its number.
    pub(crate) fn insert(&mut self, message: Message) -> u64 {
        let number = self.base + self.recent.len() as u64;
        self.recent.push_back(Some(message));
        self.recent_live += 1;
        if self.recent.len() > SLACK + 4 * self.recent_live {
            self.compact();
        }
        number
    }

    /// Releases a delivery; `None` if it is not held (any more).
    pub(crate) fn remove(&mut self, number: u64) -> Option<Message> {
        let Some(offset) = number.checked_sub(self.base) else {
            return self.stragglers.remove(&number);
        };
        let slot = usize::try_from(offset)
            .ok()
            .and_then(|index| self.recent.get_mut(index))?;
        let message = slot.take()?;
        self.recent_live -= 1;
        self.trim();
        Some(message)
    }

    /// Releases every delivery, oldest first.
    pub(crate) fn drain(&mut self) -> Vec<Message> {
        let mut all: Vec<Message> = std::mem::take(&mut self.stragglers).into_values().collect();
        self.base += self.recent.len() as u64;
        all.extend(self.recent.drain(..).flatten());
        self.recent_live = 0;
        all
    }

    fn trim(&mut self) {
        while matches!(self.recent.front(), Some(None)) {
            self.recent.pop_front();
            self.base += 1;
        }
    }

    /// Moves the oldest deliveries out of the way until the deque is dense again.
    fn compact(&mut self) {
        while self.recent.len() > SLACK / 2 + 2 * self.recent_live {
            let Some(slot) = self.recent.pop_front() else {
                return;
            };
            if let Some(message) = slot {
                self.stragglers.insert(self.base, message);
                self.recent_live -= 1;
            }
            self.base += 1;
        }
        self.trim();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn message(number: u64) -> Message {
        Message {
            body: Bytes::from(number.to_string()),
            returns: 0,
        }
    }

    #[test]
    fn one_long_delivery_does_not_make_it_grow() {
        let mut unacked = Unacked::default();
        let stuck = unacked.insert(message(0));
        for _ in 0..100_000 {
            let number = unacked.insert(message(1));
            assert!(unacked.remove(number).is_some());
            assert!(unacked.recent.len() <= SLACK + 8);
        }
        assert_eq!(unacked.len(), 1);
        assert_eq!(
            unacked.remove(stuck).map(|found| found.body),
            Some(message(0).body)
        );
    }

    proptest! {
        #[test]
        fn it_is_a_map_with_rising_keys(steps in proptest::collection::vec((any::<bool>(), any::<u16>()), 0..4000)) {
            let mut unacked = Unacked::default();
            let mut model = BTreeMap::new();
            let mut inserted = 0_u64;
            for (insert, pick) in steps {
                if insert || inserted == 0 {
                    let number = unacked.insert(message(inserted));
                    prop_assert_eq!(number, inserted);
                    model.insert(number, message(inserted).body);
                    inserted += 1;
                } else {
                    let number = u64::from(pick) % inserted;
                    prop_assert_eq!(unacked.remove(number).map(|found| found.body), model.remove(&number));
                }
                prop_assert_eq!(unacked.len(), model.len());
            }
            let left: Vec<Bytes> = unacked.drain().into_iter().map(|found| found.body).collect();
            prop_assert_eq!(left, model.into_values().collect::<Vec<_>>());
            prop_assert_eq!(unacked.len(), 0);
        }
    }
}
