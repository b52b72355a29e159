//! How many reports a shard takes at once: reports of large forwards are bounded by their bytes,
//! not only by their number.

use headway_broker::Delivery;

/// Bytes of unacknowledged reports that a shard holds, about.
const HELD_BYTES: usize = 16 << 20;
/// Bytes of reports that one transaction applies, unless one message alone has more.
const APPLIED_BYTES: usize = 8 << 20;
/// The least and the most messages that a shard holds unacknowledged.
const FEWEST: u16 = 4;
const MOST: u16 = 1024;
/// What it begins with, before it knows how large reports are.
const FIRST: u16 = 16;
/// How fast it grows.
const GROWTH: u16 = 4;

/// How many unacknowledged reports one shard holds at most.
#[derive(Debug)]
pub(crate) struct Intake {
    prefetch: u16,
}

impl Default for Intake {
    fn default() -> Self {
        Self { prefetch: FIRST }
    }
}

impl Intake {
    /// Unacknowledged messages that may be held.
    pub(crate) fn prefetch(&self) -> u16 {
        self.prefetch
    }

    /// Messages to take at once: half of what may be held, so that the others arrive meanwhile.
    pub(crate) fn batch(&self) -> usize {
        usize::from(self.prefetch / 2).max(1)
    }

    /// Learns from what was taken; the new prefetch, if it is to change.
    pub(crate) fn adapt(&mut self, deliveries: &[Delivery]) -> Option<u16> {
        if deliveries.is_empty() {
            return None;
        }
        let bytes: usize = deliveries.iter().map(|delivery| delivery.body.len()).sum();
        let mean = (bytes / deliveries.len()).max(1);
        let fitting = u16::try_from(HELD_BYTES / mean).unwrap_or(MOST);
        let fitting = fitting.clamp(FEWEST, MOST);
        let full = deliveries.len() >= self.batch();
        let wanted = match fitting < self.prefetch {
            // Small differences are not worth a new subscription.
            true if fitting <= self.prefetch / 2 => fitting,
            false if full => fitting.min(self.prefetch.saturating_mul(GROWTH)),
            true | false => self.prefetch,
        };
        let changes = wanted != self.prefetch;
        self.prefetch = wanted;
        changes.then_some(wanted)
    }
}

/// Parts deliveries into groups that one transaction each applies, in order; one empty group if
/// there are none.
pub(crate) fn groups(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut groups = vec![Vec::new()];
    let mut bytes = 0;
    for delivery in deliveries {
        bytes += delivery.body.len();
        let begins = bytes > APPLIED_BYTES && groups.last().is_some_and(|group| !group.is_empty());
        if begins {
            bytes = delivery.body.len();
            groups.push(Vec::new());
        }
        if let Some(group) = groups.last_mut() {
            group.push(delivery);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headway_broker::DeliveryTag;

    use super::*;

    fn deliveries(count: usize, bytes: usize) -> Vec<Delivery> {
        let body = Bytes::from(vec![0; bytes]);
        let tag = DeliveryTag {
            generation: 0,
            number: 0,
        };
        let delivery = Delivery {
            body,
            redelivered: false,
            tag,
        };
        vec![delivery; count]
    }

    #[test]
    fn large_reports_are_held_by_their_bytes() {
        let mut intake = Intake::default();
        let mut held = 0;
        for _ in 0..10 {
            let batch = deliveries(intake.batch(), 2 << 20);
            intake.adapt(&batch);
            held = usize::from(intake.prefetch()) * (2 << 20);
        }
        assert!(held <= HELD_BYTES, "{held}");
    }

    #[test]
    fn small_reports_are_held_by_their_number() {
        let mut intake = Intake::default();
        assert_eq!(intake.adapt(&deliveries(1, 100)), None);
        let grown: Vec<_> = (0..4)
            .map(|_| {
                let batch = deliveries(intake.batch(), 100);
                intake.adapt(&batch)
            })
            .collect();
        assert_eq!(grown, [Some(64), Some(256), Some(1024), None]);
        assert_eq!(intake.adapt(&[]), None);
    }

    #[test]
    fn one_transaction_applies_some_bytes() {
        let sizes = |deliveries| groups(deliveries).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(deliveries(0, 0)), [0]);
        assert_eq!(sizes(deliveries(500, 100)), [500]);
        assert_eq!(sizes(deliveries(9, 2 << 20)), [4, 4, 1]);
        assert_eq!(sizes(deliveries(2, 9 << 20)), [1, 1]);
    }
}
