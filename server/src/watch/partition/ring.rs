//! The newest events of a watched partition.

use std::{collections::VecDeque, sync::Arc};

use headway_store::{EventRow, Position};

/// The most events that a ring keeps.
const KEPT: usize = 1024;

/// The ring: all events after `start` up to `end`.
#[derive(Debug)]
pub(super) struct Ring {
    start: Position,
    rows: VecDeque<Arc<EventRow>>,
    end: Position,
}

/// Events of the ring after a position, and the position up to which they are complete.
pub(super) type Events = (Vec<Arc<EventRow>>, Position);

impl Ring {
    /// An empty ring at a position.
    pub(super) fn at(position: Position) -> Self {
        Self {
            start: position,
            rows: VecDeque::new(),
            end: position,
        }
    }

    /// The position up to which it is complete.
    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Adds the events after `end`; with them the ring is complete up to this position.
    pub(super) fn extend(&mut self, rows: Vec<EventRow>, end: Position) {
        self.rows.extend(rows.into_iter().map(Arc::new));
        self.end = self.end.max(end);
        while self.rows.len() > KEPT {
            if let Some(row) = self.rows.pop_front() {
                self.start = row.position;
            }
        }
    }

    /// Up to `most` events after a position that `wanted` accepts. `None` if the ring has forgotten
    /// some.
    pub(super) fn since(
        &self,
        position: Position,
        most: usize,
        wanted: impl Fn(&EventRow) -> bool,
    ) -> Option<Events> {
        if position < self.start {
            return None;
        }
        let first = self.rows.partition_point(|row| row.position <= position);
        let mut taken = Vec::new();
        for row in self.rows.range(first..) {
            if taken.len() == most {
                let last = taken
                    .last()
                    .map_or(position, |row: &Arc<EventRow>| row.position);
                return Some((taken, last));
            }
            if wanted(row) {
                taken.push(Arc::clone(row));
            }
        }
        Some((taken, self.end.max(position)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use headway_domain::{JobState, JobUid, events::EventKind};
    use uuid::Uuid;

    use super::*;

    pub(crate) fn position(seq: i64) -> Position {
        Position { tx: 0, seq }
    }

    pub(crate) fn row(seq: i64, kind: EventKind) -> EventRow {
        EventRow {
            position: position(seq),
            uid: JobUid(Uuid::from_u128(1)),
            name: Some("partitions/p/jobs/j".parse().unwrap()),
            subject: String::new(),
            kind,
            state: Some(JobState::Active),
            revision: seq,
            run: 0,
            actor: String::new(),
            correlation: String::new(),
            message: String::new(),
            batch: None,
            items: 0,
            recorded: 0,
        }
    }

    fn seqs(events: &Events) -> Vec<i64> {
        events.0.iter().map(|row| row.position.seq).collect()
    }

    #[test]
    fn all_events_after_a_position_and_none_twice() {
        let mut ring = Ring::at(position(10));
        ring.extend(
            (11..=14).map(|seq| row(seq, EventKind::Paused)).collect(),
            position(20),
        );
        let all = ring.since(position(10), 100, |_| true).unwrap();
        assert_eq!((seqs(&all), all.1), (vec![11, 12, 13, 14], position(20)));
        let some = ring.since(position(11), 2, |_| true).unwrap();
        assert_eq!((seqs(&some), some.1), (vec![12, 13], position(13)));
        let even = ring
            .since(position(10), 2, |row| row.position.seq % 2 == 0)
            .unwrap();
        assert_eq!((seqs(&even), even.1), (vec![12, 14], position(20)));
        let later = ring.since(position(25), 2, |_| true).unwrap();
        assert_eq!((seqs(&later), later.1), (vec![], position(25)));
        assert!(ring.since(position(9), 2, |_| true).is_none());
    }

    #[test]
    fn what_was_forgotten_is_told() {
        let mut ring = Ring::at(position(0));
        let many = i64::try_from(KEPT).unwrap() + 3;
        ring.extend(
            (1..=many).map(|seq| row(seq, EventKind::Paused)).collect(),
            position(many),
        );
        assert!(ring.since(position(2), 1, |_| true).is_none());
        let first = ring.since(position(3), 1, |_| true).unwrap();
        assert_eq!(seqs(&first), [4]);
    }
}
