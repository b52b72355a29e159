//! What a handler sees of an item: [`Task`].
//!
//! What does not live here: where tasks come from and where their outcomes go.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use headway::wire::TaskItem;
use headway_engine::{Envelope, code};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::json_fault;
use crate::outcome::TaskError;

/// The whole, in millionths.
const WHOLE: f64 = 1_000_000.0;

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
        if let Some(millionths) = millionths(fraction) {
            self.envelope.set_fraction(self.position, millionths);
        }
    }
}

/// A fraction in millionths, brought within its bounds; `None` for what is no number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 to 1,000,000 before"
)]
fn millionths(fraction: f64) -> Option<u32> {
    (!fraction.is_nan()).then(|| (fraction.clamp(0.0, 1.0) * WHOLE).round() as u32)
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
    use headway::wire::TaskMessage;

    use super::*;

    fn task(payload: &'static [u8]) -> Task {
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
        let envelope = Envelope::new(message, Instant::now(), Arc::default()).expect("is whole");
        let token = envelope.token.clone();
        Task::new(Arc::new(envelope), 0, token, None)
    }

    #[tokio::test]
    async fn a_handler_sees_its_item() {
        let task = task(br#"{"n":5}"#);
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

    #[test]
    fn fractions_are_brought_within_their_bounds() {
        let fractions = [-1.0, 0.1, 1.0, 7.0, f64::NAN].map(millionths);
        let within = [
            Some(0),
            Some(100_000),
            Some(1_000_000),
            Some(1_000_000),
            None,
        ];
        assert_eq!(fractions, within);
    }
}
