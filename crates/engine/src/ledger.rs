//! Which deliveries are held, what must still be reported for each of their items, and which leases
//! the session has.
//!
//! A delivery's tag leaves the ledger only against [`Confirmed`] settlements for all of its items.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headway_broker::DeliveryTag;
use tokio::time::Instant;

use crate::confirm::Confirmed;
use crate::envelope::Envelope;

/// Identifies a held delivery.
pub type Key = u64;

/// What a report, once confirmed, settles of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settlement {
    key: Key,
    /// Items that the broker's delivery is no longer needed for.
    items: u32,
    /// Leased items that ended.
    leases: u32,
}

impl Settlement {
    /// Adds another settlement of the same delivery. `false` if it is of another one.
    pub(crate) fn join(&mut self, other: Settlement) -> bool {
        if self.key != other.key {
            return false;
        }
        self.items += other.items;
        self.leases += other.leases;
        true
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ItemState {
    /// Queued or running under the delivery.
    Open,
    /// Running under a lease.
    Leased,
    /// Its last report is made.
    Ended,
}

#[derive(Debug)]
struct Held {
    envelope: Arc<Envelope>,
    /// `None` once it was handed out to be acknowledged.
    tag: Option<DeliveryTag>,
    items: Box<[ItemState]>,
    /// Items without a confirmed report.
    owed: u32,
    /// Leased items without a confirmed last report.
    leases: u32,
}

/// The deliveries that a worker holds.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next_key: Key,
    held: HashMap<Key, Held>,
    unacknowledged: usize,
    leased_running: usize,
    leases_by_shard: BTreeMap<u16, u32>,
}

impl Ledger {
    /// Holds a delivery.
    pub(crate) fn admit(&mut self, envelope: Arc<Envelope>, tag: DeliveryTag) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        let items = vec![ItemState::Open; envelope.message.items.len()].into_boxed_slice();
        // A message has at most some thousands of items: it would not fit into the broker's bounds
        // else.
        let owed = u32::try_from(items.len()).unwrap_or(u32::MAX);
        self.held.insert(
            key,
            Held {
                envelope,
                tag: Some(tag),
                items,
                owed,
                leases: 0,
            },
        );
        self.unacknowledged += 1;
        key
    }

    /// The message of a held delivery.
    pub(crate) fn envelope(&self, key: Key) -> Option<&Arc<Envelope>> {
        self.held.get(&key).map(|held| &held.envelope)
    }

    /// Deliveries that are not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// Items that run under a lease.
    pub(crate) fn leased_running(&self) -> usize {
        self.leased_running
    }

    /// The shards in which the session has leases.
    pub(crate) fn lease_shards(&self) -> impl Iterator<Item = u16> {
        self.leases_by_shard.keys().copied()
    }

    /// The messages that have items without an end.
    pub(crate) fn envelopes(&self) -> impl Iterator<Item = &Arc<Envelope>> {
        self.held.values().map(|held| &held.envelope)
    }

    /// Marks an item as ended. `None` if it was already: then there is nothing to report.
    pub(crate) fn end(&mut self, key: Key, position: usize) -> Option<Settlement> {
        let state = self.held.get_mut(&key)?.items.get_mut(position)?;
        let settlement = match *state {
            ItemState::Open => Settlement {
                key,
                items: 1,
                leases: 0,
            },
            ItemState::Leased => {
                self.leased_running -= 1;
                Settlement {
                    key,
                    items: 0,
                    leases: 1,
                }
            }
            ItemState::Ended => return None,
        };
        *state = ItemState::Ended;
        Some(settlement)
    }

    /// Turns what is open of a delivery into leases and returns those items.
    pub(crate) fn lease(&mut self, key: Key) -> Vec<(usize, Settlement)> {
        let Some(held) = self.held.get_mut(&key) else {
            return Vec::new();
        };
        let mut leased = Vec::new();
        for (position, state) in held.items.iter_mut().enumerate() {
            if *state == ItemState::Open {
                *state = ItemState::Leased;
                held.leases += 1;
                self.leased_running += 1;
                *self.leases_by_shard.entry(held.envelope.shard).or_default() += 1;
                leased.push((
                    position,
                    Settlement {
                        key,
                        items: 1,
                        leases: 0,
                    },
                ));
            }
        }
        leased
    }

    /// Deliveries received before `limit` that have open items.
    pub(crate) fn older_than(&self, limit: Instant) -> Vec<Key> {
        let old =
            |held: &Held| held.envelope.received <= limit && held.items.contains(&ItemState::Open);
        self.held
            .iter()
            .filter(|(_, held)| old(held))
            .map(|(key, _)| *key)
            .collect()
    }

    /// Every item without an end, under its delivery or a lease.
    pub(crate) fn open_items(&self) -> Vec<(Key, usize)> {
        let mut items = Vec::new();
        for (key, held) in &self.held {
            let open = held
                .items
                .iter()
                .enumerate()
                .filter(|(_, state)| **state != ItemState::Ended);
            items.extend(open.map(|(position, _)| (*key, position)));
        }
        items
    }

    /// Settles what was confirmed and returns the deliveries that may be acknowledged now.
    pub(crate) fn settle(&mut self, confirmed: Confirmed<Vec<Settlement>>) -> Vec<DeliveryTag> {
        let mut acknowledge = Vec::new();
        for settlement in confirmed.into_inner() {
            let Some(held) = self.held.get_mut(&settlement.key) else {
                continue;
            };
            held.owed = held.owed.saturating_sub(settlement.items);
            held.leases = held.leases.saturating_sub(settlement.leases);
            if settlement.leases > 0
                && let Some(count) = self.leases_by_shard.get_mut(&held.envelope.shard)
            {
                *count = count.saturating_sub(settlement.leases);
                if *count == 0 {
                    self.leases_by_shard.remove(&held.envelope.shard);
                }
            }
            if held.owed > 0 {
                continue;
            }
            if let Some(tag) = held.tag.take() {
                self.unacknowledged -= 1;
                acknowledge.push(tag);
            }
            if held.leases == 0 {
                self.held.remove(&settlement.key);
            }
        }
        acknowledge
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headway::wire::{TaskItem, TaskMessage};

    use super::*;
    use crate::confirm::for_test as confirmed;

    const TAG: DeliveryTag = DeliveryTag {
        generation: 1,
        number: 9,
    };

    fn ledger(items: usize) -> (Ledger, Key) {
        let message = TaskMessage {
            job_uid: Bytes::from_static(&[1; 16]),
            shard: 4,
            items: vec![TaskItem::default(); items],
            ..TaskMessage::default()
        };
        let envelope = Envelope::new(message, Instant::now(), Arc::default()).expect("is whole");
        let mut ledger = Ledger::default();
        let key = ledger.admit(Arc::new(envelope), TAG);
        (ledger, key)
    }

    #[tokio::test]
    async fn a_tag_is_handed_out_once_all_items_are_confirmed() {
        let (mut ledger, key) = ledger(3);
        let ended: Vec<_> = (0..3)
            .filter_map(|position| ledger.end(key, position))
            .collect();
        assert_eq!(ledger.end(key, 1), None);
        assert!(ledger.settle(confirmed(vec![ended[2]])).is_empty());
        let mut both = ended[0];
        assert!(both.join(ended[1]));
        assert_eq!(ledger.settle(confirmed(vec![both])), [TAG]);
        assert!(ledger.held.is_empty());
        assert_eq!(ledger.unacknowledged(), 0);
    }

    #[tokio::test]
    async fn a_lease_outlives_its_delivery() {
        let (mut ledger, key) = ledger(2);
        let first = ledger.end(key, 0).expect("is open");
        let leased = ledger.lease(key);
        assert_eq!(leased.len(), 1);
        assert_eq!(ledger.lease_shards().collect::<Vec<_>>(), [4]);
        assert!(ledger.settle(confirmed(vec![first])).is_empty());
        assert_eq!(ledger.settle(confirmed(vec![leased[0].1])), [TAG]);
        assert_eq!(ledger.open_items(), [(key, 1)]);
        let last = ledger.end(key, 1).expect("still runs");
        assert_eq!(ledger.leased_running(), 0);
        assert_eq!(
            ledger.lease_shards().count(),
            1,
            "heartbeats go on until the outcome is confirmed"
        );
        assert!(ledger.settle(confirmed(vec![last])).is_empty());
        assert_eq!(ledger.lease_shards().count(), 0);
        assert!(ledger.held.is_empty());
    }

    #[tokio::test]
    async fn an_outcome_may_be_confirmed_before_its_lease() {
        let (mut ledger, key) = ledger(1);
        let leased = ledger.lease(key)[0].1;
        let ended = ledger.end(key, 0).expect("still runs");
        assert!(ledger.settle(confirmed(vec![ended])).is_empty());
        assert_eq!(ledger.settle(confirmed(vec![leased])), [TAG]);
        assert!(ledger.held.is_empty());
    }
}
