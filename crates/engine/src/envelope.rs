//! A received task message, which its items share while they wait and run.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use headway::wire::TaskMessage;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::status::JobUid;

/// A fraction that was set and not yet reported; fractions themselves need 20 bits.
const UNREPORTED: u32 = 1 << 31;

/// Why the running items of a message were asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The job was cancelled or stopped.
    Discard,
    /// The worker ends.
    Shutdown,
}

/// A received task message, shared by its items.
#[derive(Debug)]
pub struct Envelope {
    /// The message.
    pub message: TaskMessage,
    /// The uid of its job.
    pub uid: JobUid,
    /// The logical shard of its job.
    pub shard: u16,
    /// When it was received.
    pub received: Instant,
    /// Cancelled when the items should end early.
    pub token: CancellationToken,
    ended_by: AtomicU8,
    fractions: OnceLock<Box<[AtomicU32]>>,
    inbox: Arc<ProgressInbox>,
}

impl Envelope {
    /// Checks what the engine relies on. `None` if the message breaks the contract.
    pub fn new(message: TaskMessage, received: Instant, inbox: Arc<ProgressInbox>) -> Option<Self> {
        if message.items.is_empty() {
            return None;
        }
        let uid = JobUid::try_from(message.job_uid.as_ref()).ok()?;
        let shard = u16::try_from(message.shard).ok()?;
        let token = CancellationToken::new();
        let ended_by = AtomicU8::new(0);
        Some(Self {
            message,
            uid,
            shard,
            received,
            token,
            ended_by,
            fractions: OnceLock::new(),
            inbox,
        })
    }

    /// Asks every running item to end. The first reason stays.
    pub fn end(&self, reason: EndedBy) {
        let number = match reason {
            EndedBy::Discard => 1,
            EndedBy::Shutdown => 2,
        };
        // A failed exchange means that an earlier reason stands.
        let _ = self
            .ended_by
            .compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire);
        self.token.cancel();
    }

    /// Why the items were asked to end, if they were.
    pub fn ended_by(&self) -> Option<EndedBy> {
        match self.ended_by.load(Ordering::Acquire) {
            1 => Some(EndedBy::Discard),
            2 => Some(EndedBy::Shutdown),
            _ => None,
        }
    }

    /// Takes the fraction of an item for a report.
    pub(crate) fn take_fraction(&self, position: usize) -> Option<u32> {
        let cell = self.fractions.get()?.get(position)?;
        Some(cell.fetch_and(!UNREPORTED, Ordering::AcqRel) & !UNREPORTED)
    }

    /// Sets how far an item is, 0 to 1,000,000. The newest value is reported a few times a second.
    pub fn set_fraction(self: &Arc<Self>, position: usize, millionths: u32) {
        let cells = self.fractions.get_or_init(|| {
            self.message
                .items
                .iter()
                .map(|_| AtomicU32::new(0))
                .collect()
        });
        let Some(cell) = cells.get(position) else {
            return;
        };
        let before = cell.swap(millionths | UNREPORTED, Ordering::AcqRel);
        // While one is waiting to be reported the newer value simply takes its place.
        if before & UNREPORTED == 0 {
            self.inbox.put(Fraction {
                envelope: self.clone(),
                position,
            });
        }
    }
}

/// An item whose fraction changed.
#[derive(Debug)]
pub(crate) struct Fraction {
    pub envelope: Arc<Envelope>,
    pub position: usize,
}

/// Items whose fraction changed since the last look: each at most once, so at most as many as are
/// running.
#[derive(Debug, Default)]
pub struct ProgressInbox {
    changed: Mutex<Vec<Fraction>>,
    pub(crate) arrivals: Notify,
}

impl ProgressInbox {
    fn put(&self, fraction: Fraction) {
        self.changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fraction);
        self.arrivals.notify_one();
    }

    pub(crate) fn take(&self) -> Vec<Fraction> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headway::wire::TaskItem;

    use super::*;

    #[test]
    fn a_broken_message_is_no_envelope() {
        let whole = TaskMessage {
            job_uid: Bytes::from_static(&[1; 16]),
            items: vec![TaskItem::default()],
            ..TaskMessage::default()
        };
        let broken = [
            TaskMessage {
                items: Vec::new(),
                ..whole.clone()
            },
            TaskMessage {
                job_uid: Bytes::from_static(b"short"),
                ..whole.clone()
            },
            TaskMessage {
                shard: 70_000,
                ..whole.clone()
            },
        ];
        let inbox = Arc::new(ProgressInbox::default());
        for message in broken {
            assert!(Envelope::new(message, Instant::now(), inbox.clone()).is_none());
        }
        assert!(Envelope::new(whole, Instant::now(), inbox).is_some());
    }

    #[tokio::test]
    async fn of_the_fractions_of_an_item_the_newest_is_reported() {
        let message = TaskMessage {
            job_uid: Bytes::from_static(&[1; 16]),
            items: vec![TaskItem::default()],
            ..TaskMessage::default()
        };
        let inbox = Arc::new(ProgressInbox::default());
        let envelope = Envelope::new(message, Instant::now(), inbox.clone()).expect("is whole");
        let envelope = Arc::new(envelope);
        for millionths in [100_000, 500_000, 1_000_000] {
            envelope.set_fraction(0, millionths);
        }
        let changed = inbox.take();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].envelope.take_fraction(0), Some(1_000_000));
        envelope.set_fraction(0, 0);
        assert_eq!(inbox.take().len(), 1);
        assert_eq!(envelope.take_fraction(0), Some(0));
    }
}
