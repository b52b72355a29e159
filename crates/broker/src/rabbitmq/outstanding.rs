//! Which deliveries of a channel are unsettled, and how to settle some of them with the fewest
//! protocol messages. Pure.
//!
//! A "multiple" settles every unsettled delivery up to its tag, so it may be used exactly as far as
//! nothing older stays unsettled. What is behind a delivery that still runs is settled one by one:
//! it must not wait for that one.

use std::collections::BTreeSet;

/// One `basic.ack` or `basic.nack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settlement {
    pub tag: u64,
    pub multiple: bool,
}

/// The unsettled deliveries of one channel; never more than were prefetched.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    tags: BTreeSet<u64>,
}

impl Outstanding {
    /// A delivery was handed out.
    pub(crate) fn add(&mut self, tag: u64) {
        self.tags.insert(tag);
    }

    /// Settles `tags`. Those that are not outstanding (settled before, or never handed out) are
    /// ignored: the broker would close the channel over them. The settlements must be sent in this
    /// order, and before those of any later call.
    pub(crate) fn settle(&mut self, tags: impl IntoIterator<Item = u64>) -> Vec<Settlement> {
        let mut settled: Vec<u64> = tags
            .into_iter()
            .filter(|tag| self.tags.remove(tag))
            .collect();
        settled.sort_unstable();
        let oldest_left = self.tags.first().copied().unwrap_or(u64::MAX);
        let joined = settled.partition_point(|tag| *tag < oldest_left);
        let mut settlements = Vec::with_capacity(1 + settled.len() - joined);
        if let Some(last) = joined.checked_sub(1).and_then(|index| settled.get(index)) {
            settlements.push(Settlement {
                tag: *last,
                multiple: joined > 1,
            });
        }
        let single = |tag: &u64| Settlement {
            tag: *tag,
            multiple: false,
        };
        settlements.extend(settled.iter().skip(joined).map(single));
        settlements
    }

    /// How many are unsettled.
    pub(crate) fn len(&self) -> usize {
        self.tags.len()
    }

    /// Forgets everything: the channel is gone.
    pub(crate) fn clear(&mut self) {
        self.tags.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(count: u64) -> Outstanding {
        let mut outstanding = Outstanding::default();
        (1..=count).for_each(|tag| outstanding.add(tag));
        outstanding
    }

    fn all(tag: u64) -> Settlement {
        Settlement {
            tag,
            multiple: true,
        }
    }

    fn one(tag: u64) -> Settlement {
        Settlement {
            tag,
            multiple: false,
        }
    }

    #[test]
    fn neighbours_are_joined_whatever_their_order() {
        let mut outstanding = filled(6);
        assert_eq!(outstanding.settle([3, 1, 2]), [all(3)]);
        assert_eq!(outstanding.settle([4]), [one(4)]);
        assert_eq!(outstanding.settle([6, 5]), [all(6)]);
    }

    #[test]
    fn nothing_waits_behind_a_delivery_that_still_runs() {
        let mut outstanding = filled(5);
        assert_eq!(outstanding.settle([2, 3]), [one(2), one(3)]);
        assert_eq!(outstanding.settle([1, 4]), [all(4)]);
    }

    #[test]
    fn tags_settled_before_or_never_handed_out_are_ignored() {
        let mut outstanding = filled(2);
        assert_eq!(outstanding.settle([1, 1]), [one(1)]);
        assert_eq!(outstanding.settle([1, 9]), []);
    }

    proptest! {
        /// Plays the settlements against what a broker does with them: exactly the wanted tags go,
        /// and no settlement names a tag that the broker does not know (it would close the
        /// channel).
        #[test]
        fn the_broker_settles_exactly_what_was_asked(rounds in proptest::collection::vec(proptest::collection::vec(1..60_u64, 0..20), 1..12)) {
            let mut outstanding = filled(40);
            let mut broker: BTreeSet<u64> = (1..=40).collect();
            for round in rounds {
                let mut expected = broker.clone();
                round.iter().for_each(|tag| { expected.remove(tag); });
                for settlement in outstanding.settle(round) {
                    prop_assert!(broker.contains(&settlement.tag));
                    if settlement.multiple {
                        broker.retain(|tag| *tag > settlement.tag);
                    } else {
                        broker.remove(&settlement.tag);
                    }
                }
                prop_assert_eq!(&broker, &expected);
            }
        }
    }
}
