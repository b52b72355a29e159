//! What a handler sees of an item: [`Task`].
//!
//! What does not live here: where tasks come from and where their outcomes go.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use headway::wire::{TaskItem, TaskMessage};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::json_fault;
use crate::outcome::{TaskError, code};
use crate::status::JobUid;

/// A fraction that was set and not yet reported; fractions themselves need 20 bits.
const UNREPORTED: u32 = 1 << 31;
/// The whole, in millionths.
const WHOLE: f64 = 1_000_000.0;

/// Why the running items of a message were asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The job was cancelled or stopped.
    Discard,
    /// The worker ends.
    Shutdown,
}

/// A received task message, shared by its items.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub message: TaskMessage,
    pub uid: JobUid,
    pub shard: u16,
    pub received: Instant,
    /// Cancelled when the items should end early.
    pub token: CancellationToken,
    ended_by: AtomicU8,
    fractions: OnceLock<Box<[AtomicU32]>>,
    inbox: Arc<ProgressInbox>,
}

impl Envelope {
    /// Checks what the SDK relies on. `None` if the message breaks the contract.
    pub(crate) fn new(
        message: TaskMessage,
        received: Instant,
        inbox: Arc<ProgressInbox>,
    ) -> Option<Self> {
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
    pub(crate) fn end(&self, reason: EndedBy) {
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
    pub(crate) fn ended_by(&self) -> Option<EndedBy> {
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

    fn set_fraction(self: &Arc<Self>, position: usize, millionths: u32) {
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
pub(crate) struct ProgressInbox {
    changed: Mutex<Vec<Fraction>>,
    pub arrivals: Notify,
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

/// One try of one item, as its handler sees it. Clones are the same try.
#[derive(Clone)]
pub struct Task {
    envelope: Arc<Envelope>,
    position: usize,
    token: CancellationToken,
    deadline: Option<Instant>,
}

impl Task {
    pub(crate) fn new(
        envelope: Arc<Envelope>,
        position: usize,
        token: CancellationToken,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            envelope,
            position,
            token,
            deadline,
        }
    }

    fn entry(&self) -> Option<&TaskItem> {
        self.envelope.message.items.get(self.position)
    }

    /// The payload read as JSON.
    ///
    /// # Errors
    /// A fatal failure with code `BAD_PAYLOAD`: the payload will be no better the next time. Its
    /// message says what is wrong and where, and quotes nothing of the payload.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        serde_json::from_slice(self.payload_slice()).map_err(|error| {
            TaskError::fatal(
                code::BAD_PAYLOAD,
                format!("the payload cannot be read: {}", json_fault(&error)),
            )
        })
    }

    /// The payload read as a protobuf message.
    ///
    /// # Errors
    /// A fatal failure with code `BAD_PAYLOAD`.
    pub fn payload_prost<M: prost::Message + Default>(&self) -> Result<M, TaskError> {
        M::decode(self.payload_slice()).map_err(|error| {
            TaskError::fatal(
                code::BAD_PAYLOAD,
                format!("the payload cannot be read: {error}"),
            )
        })
    }

    /// The payload as it came. Cheap: the bytes are shared.
    pub fn payload_bytes(&self) -> Bytes {
        self.entry()
            .map(|item| item.payload.clone())
            .unwrap_or_default()
    }

    fn payload_slice(&self) -> &[u8] {
        self.entry().map_or(&[], |item| item.payload.as_ref())
    }

    /// The payload's media type; may be empty.
    pub fn content_type(&self) -> &str {
        &self.envelope.message.content_type
    }

    /// The task type.
    pub fn task_type(&self) -> &str {
        &self.envelope.message.r#type
    }

    /// The task's headers.
    pub fn headers(&self) -> &HashMap<String, String> {
        &self.envelope.message.headers
    }

    /// The job's resource name: `partitions/{partition}/jobs/{job}`.
    pub fn job(&self) -> &str {
        &self.envelope.message.job
    }

    /// The job's uid. A job that was created again under an old name has another one.
    pub fn job_uid(&self) -> &[u8; 16] {
        &self.envelope.uid
    }

    /// The item within its job, the same at every try: `{page}-{index}`.
    pub fn item(&self) -> String {
        let index = self.entry().map_or(0, |item| item.index);
        format!("{}-{index}", self.envelope.message.page)
    }

    /// Which try this is, from 1: one more than the tries that failed. A try whose worker died was
    /// no failure, so the same number may come twice.
    pub fn attempt(&self) -> u32 {
        self.entry()
            .map_or(1, |item| item.failures.saturating_add(1))
    }

    /// Which stage of a pipeline the item is in, from 0.
    pub fn stage(&self) -> u32 {
        self.entry().map_or(0, |item| item.stage)
    }

    /// When this try has to be finished; `None` if the job has no item timeout.
    /// [`Task::cancellation`] is cancelled then.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Cancelled when the job is cancelled or stopped, the deadline has passed, or the worker's
    /// drain time is over. A handler that ends soon after, with any error, wastes least.
    pub fn cancellation(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Says how far the item is: 0.0 to 1.0; other values count as the nearest bound. As cheap as a
    /// store; the newest value is reported a few times a second.
    pub fn progress(&self, fraction: f64) {
        if fraction.is_nan() {
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0 to 1,000,000 before"
        )]
        let millionths = (fraction.clamp(0.0, 1.0) * WHOLE).round() as u32;
        self.envelope.set_fraction(self.position, millionths);
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Task");
        out.field("job", &self.job())
            .field("item", &self.item())
            .field("attempt", &self.attempt());
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(payload: &'static [u8], inbox: &Arc<ProgressInbox>) -> Task {
        let items = vec![TaskItem {
            index: 7,
            failures: 2,
            payload: Bytes::from_static(payload),
            ..TaskItem::default()
        }];
        let job_uid = Bytes::from_static(&[1; 16]);
        let message = TaskMessage {
            job_uid,
            page: 3,
            items,
            ..TaskMessage::default()
        };
        let envelope = Envelope::new(message, Instant::now(), inbox.clone()).expect("is whole");
        let token = envelope.token.clone();
        Task::new(Arc::new(envelope), 0, token, None)
    }

    #[tokio::test]
    async fn a_handler_sees_its_item() {
        let task = task(br#"{"n":5}"#, &Arc::default());
        assert_eq!((task.item().as_str(), task.attempt()), ("3-7", 3));
        assert_eq!(task.job_uid(), &[1; 16]);
        let value: HashMap<String, u32> = task.payload().expect("is JSON");
        assert_eq!(value["n"], 5);
        let error = task.payload::<Vec<u32>>().expect_err("is no list");
        assert!(!error.message().contains('5'), "{}", error.message());
        assert_eq!(
            (error.code(), error.is_retryable()),
            (code::BAD_PAYLOAD, false)
        );
    }

    #[tokio::test]
    async fn progress_is_conflated_and_clamped() {
        let inbox = Arc::new(ProgressInbox::default());
        let task = task(b"", &inbox);
        for fraction in [0.1, 0.5, f64::NAN, 7.0] {
            task.progress(fraction);
        }
        let changed = inbox.take();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].envelope.take_fraction(0), Some(1_000_000));
        task.progress(-1.0);
        assert_eq!(inbox.take().len(), 1);
        assert_eq!(task.envelope.take_fraction(0), Some(0));
    }

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
}
