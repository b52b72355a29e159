//! Encoding and decoding of what travels in pipes. Texts from workers are cut and cleaned here.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use headway::wire;
use headway_domain::{
    JobUid, PartitionId, PipeName,
    bulk::RESERVED,
    effect::{Disposition, Failed, code},
    limits,
    page::Forward,
    report::{ItemEvent, ItemReport, PageReport},
};
use headway_store::{Change, Control, Owed, OwedKind};
use prost::Message;
use serde_json::json;
use uuid::Uuid;

/// Bytes of a dead letter's payload that are kept to be looked at.
const SHOWN: usize = 1024;

/// A message that no version of Headway sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed message: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<prost::DecodeError> for Malformed {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// What a worker reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// The worker's session.
    pub session: Uuid,
    /// Whether all leases of the session are renewed.
    pub heartbeat: bool,
    /// Whether the worker asks for the states of held jobs.
    pub asks_held: bool,
    /// Fences that came back.
    pub fences: Vec<Uuid>,
    /// Reports by page.
    pub pages: Vec<PageReport>,
}

/// Work for a batch worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchWork {
    /// Split a page.
    Split {
        /// The job.
        uid: JobUid,
        /// The page.
        page: u32,
        /// The fencing attempt.
        attempt: u32,
    },
    /// Send items of a page.
    Dispatch {
        /// The job.
        uid: JobUid,
        /// The page.
        page: u32,
        /// The items.
        indexes: Vec<u32>,
    },
    /// Send a fence on to a pipe.
    Fence {
        /// The pipe.
        pipe: String,
        /// The fence.
        id: Uuid,
        /// Where the worker reports that it came out.
        shard: u16,
    },
}

fn uid(bytes: &[u8]) -> Result<JobUid, Malformed> {
    JobUid::from_slice(bytes).ok_or_else(|| Malformed("job_uid must be 16 bytes".to_owned()))
}

fn uid_bytes(uid: JobUid) -> Bytes {
    Bytes::copy_from_slice(uid.0.as_bytes())
}

/// Reads a report message. An item whose event is missing or unusable is reported as failed with
/// BAD_REPORT, so that it cannot be lost.
pub fn decode_reports(body: Bytes) -> Result<Reports, Malformed> {
    let message = wire::ReportMessage::decode(body)?;
    let session = Uuid::from_slice(&message.session).unwrap_or(Uuid::nil());
    let worker = headway_domain::effect::clean(&message.worker, limits::ID_BYTES);
    let pages = message
        .pages
        .into_iter()
        .map(|page| {
            Ok(PageReport {
                job: uid(&page.job_uid)?,
                page: page.page,
                run: page.run,
                done: page.done,
                items: page.items.into_iter().map(item_report).collect(),
                session,
                worker: worker.clone(),
            })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(Reports {
        session,
        heartbeat: message.heartbeat,
        asks_held: message.asks_held,
        fences: message
            .fences
            .iter()
            .filter_map(|id| Uuid::from_slice(id).ok())
            .collect(),
        pages,
    })
}

fn item_report(item: wire::ItemReport) -> ItemReport {
    use wire::item_report::Event;
    let bad = |why: &str| ItemEvent::Failed(Failed::lasting(code::BAD_REPORT, why));
    let event = match item.event {
        Some(Event::Done(_)) => ItemEvent::Done,
        Some(Event::Failed(failed)) => ItemEvent::Failed(
            Failed {
                retryable: failed.retryable,
                code: failed.code,
                message: failed.message,
                details: failed.details,
            }
            .cleaned(),
        ),
        Some(Event::Discarded(_)) => ItemEvent::Discarded,
        Some(Event::Parked(_)) => ItemEvent::Parked,
        Some(Event::Started(_)) => ItemEvent::Started,
        Some(Event::Leased(_)) => ItemEvent::Leased,
        Some(Event::Suspect(_)) => ItemEvent::Suspect,
        Some(Event::Fraction(fraction)) => ItemEvent::Fraction(fraction.millionths),
        Some(Event::Forward(forward)) => match check_forward(forward) {
            Ok(forward) => ItemEvent::Forward(forward),
            Err(why) => bad(&why),
        },
        None => bad("the worker's report says nothing that this version understands"),
    };
    ItemReport {
        index: item.index,
        attempt: item.attempt,
        stage: item.stage,
        event,
    }
}

fn check_forward(forward: wire::Forward) -> Result<Forward, String> {
    if PipeName::new(forward.pipe.as_str()).is_err() {
        return Err("the item was forwarded to a pipe whose name is not allowed".to_owned());
    }
    // Headway's own workers trust what is in their pipes.
    if forward.pipe.starts_with(RESERVED) {
        return Err(format!(
            "the item was forwarded to a pipe whose name begins with {RESERVED:?}: those are Headway's own"
        ));
    }
    let texts = [
        (&forward.r#type, limits::SHORT_TEXT_BYTES),
        (&forward.content_type, limits::ID_BYTES),
    ];
    if texts
        .iter()
        .any(|(text, most)| text.len() > *most || text.contains('\0'))
    {
        return Err(
            "the item was forwarded with a task type or content type that is too long".to_owned(),
        );
    }
    if forward.payload.len() > limits::PAYLOAD_BYTES {
        return Err(format!(
            "the item was forwarded with a payload above {} bytes",
            limits::PAYLOAD_BYTES
        ));
    }
    Ok(Forward {
        pipe: forward.pipe,
        task_type: forward.r#type,
        payload: forward.payload.into(),
        content_type: forward.content_type,
    })
}

fn fence_bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// Writes a report that consists of a fence.
pub fn encode_fence_report(id: Uuid) -> Bytes {
    let message = wire::ReportMessage {
        fences: vec![fence_bytes(id)],
        ..wire::ReportMessage::default()
    };
    message.encode_to_vec().into()
}

/// Writes a task message that consists of a fence, to be reported to this shard.
pub fn encode_fence_task(id: Uuid, shard: u16) -> Bytes {
    let message = wire::TaskMessage {
        // No job has it. A worker that knows no fences gives the message up, and tracking finds no job to fail.
        job_uid: fence_bytes(id),
        shard: shard.into(),
        fence: fence_bytes(id),
        ..wire::TaskMessage::default()
    };
    message.encode_to_vec().into()
}

/// Writes a message that has a batch worker send a fence to a pipe.
pub fn encode_fence_order(pipe: &str, id: Uuid, shard: u16) -> Bytes {
    let fence = wire::Fence {
        pipe: pipe.to_owned(),
        id: fence_bytes(id),
        shard: shard.into(),
    };
    let message = wire::BatchMessage {
        job_uid: fence_bytes(id),
        action: Some(wire::batch_message::Action::Fence(fence)),
        ..wire::BatchMessage::default()
    };
    message.encode_to_vec().into()
}

/// Writes a message for batch workers.
pub fn encode_owed(owed: &Owed) -> Bytes {
    use wire::batch_message::Action;
    let action = match owed.kind {
        OwedKind::Split => Action::Split(wire::Split {
            attempt: owed.attempt,
        }),
        OwedKind::Dispatch => Action::Dispatch(wire::Dispatch {
            indexes: owed.indexes.iter().collect(),
        }),
    };
    let message = wire::BatchMessage {
        job_uid: uid_bytes(owed.uid),
        page: owed.page,
        run: owed.run,
        action: Some(action),
    };
    message.encode_to_vec().into()
}

/// Reads a message for batch workers.
pub fn decode_batch(body: Bytes) -> Result<BatchWork, Malformed> {
    use wire::batch_message::Action;
    let message = wire::BatchMessage::decode(body)?;
    let uid = uid(&message.job_uid)?;
    let page = message.page;
    match message.action {
        Some(Action::Split(split)) => Ok(BatchWork::Split {
            uid,
            page,
            attempt: split.attempt,
        }),
        Some(Action::Dispatch(dispatch)) => Ok(BatchWork::Dispatch {
            uid,
            page,
            indexes: dispatch.indexes,
        }),
        Some(Action::Fence(fence)) => Ok(BatchWork::Fence {
            id: Uuid::from_slice(&fence.id).map_err(|error| Malformed(error.to_string()))?,
            shard: u16::try_from(fence.shard).map_err(|error| Malformed(error.to_string()))?,
            pipe: fence.pipe,
        }),
        None => Err(Malformed("a batch message must say what to do".to_owned())),
    }
}

/// Writes a control broadcast.
pub fn encode_control(control: &Control) -> Bytes {
    let disposition = match control.disposition {
        Disposition::Run => wire::Disposition::Run,
        Disposition::Park => wire::Disposition::Park,
        Disposition::Discard => wire::Disposition::Discard,
    };
    let message = wire::ControlMessage {
        job_uid: uid_bytes(control.uid),
        control: control.control,
        disposition: disposition.into(),
    };
    message.encode_to_vec().into()
}

/// Writes the event that a job changed.
pub fn encode_change(change: &Change) -> Bytes {
    let message = wire::JobChanged {
        job_uid: uid_bytes(change.uid),
        revision: change.revision,
        commit_time_us: change.time,
        deleted: change.deleted,
        partition: change.partition.to_string(),
    };
    message.encode_to_vec().into()
}

/// Reads the event that a job changed.
pub fn decode_change(body: Bytes) -> Result<Change, Malformed> {
    let message = wire::JobChanged::decode(body)?;
    Ok(Change {
        uid: uid(&message.job_uid)?,
        partition: PartitionId::new(message.partition)
            .map_err(|error| Malformed(error.to_string()))?,
        revision: message.revision,
        time: message.commit_time_us,
        deleted: message.deleted,
    })
}

/// Reads a task message, as dead letters hold it: reports that each of its items failed for good.
pub fn decode_dead_task(body: Bytes) -> Result<PageReport, Malformed> {
    let message = wire::TaskMessage::decode(body)?;
    let letter = |item: &wire::TaskItem| {
        let first = &item.payload[..item.payload.len().min(SHOWN)];
        let (text, base64) = match std::str::from_utf8(first) {
            Ok(text) => (Some(text.to_owned()), None),
            // The cut may go through a character.
            Err(error) if error.valid_up_to() + 4 > first.len() && error.error_len().is_none() => {
                let text = String::from_utf8_lossy(&first[..error.valid_up_to()]);
                (Some(text.into_owned()), None)
            }
            Err(_) => (None, Some(BASE64_STANDARD.encode(first))),
        };
        let mut details = json!({
            "type": message.r#type,
            "content_type": message.content_type,
            "headers": message.headers,
            "bytes": item.payload.len(),
        });
        if let Some(text) = text {
            details["text"] = text.into();
        }
        if let Some(base64) = base64 {
            details["base64"] = base64.into();
        }
        let text = "the message broker gave the item's message up after too many deliveries";
        Failed {
            details: details.to_string(),
            ..Failed::lasting(code::DEAD_LETTERED, text)
        }
        .cleaned()
    };
    let items = message.items.iter().map(|item| ItemReport {
        index: item.index,
        attempt: item.attempt,
        stage: item.stage,
        event: ItemEvent::Failed(letter(item)),
    });
    let items = items.collect();
    Ok(PageReport {
        job: uid(&message.job_uid)?,
        page: message.page,
        run: message.run,
        done: Vec::new(),
        items,
        session: Uuid::nil(),
        worker: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owed_messages_round_trip() {
        let owed = Owed {
            id: 1,
            uid: JobUid(Uuid::new_v4()),
            kind: OwedKind::Dispatch,
            page: 7,
            run: 2,
            attempt: 0,
            indexes: [1, 5, 4095].into_iter().collect(),
        };
        let work = decode_batch(encode_owed(&owed)).unwrap();
        assert_eq!(
            work,
            BatchWork::Dispatch {
                uid: owed.uid,
                page: 7,
                indexes: vec![1, 5, 4095]
            }
        );
    }

    #[test]
    fn fences_round_trip() {
        let id = Uuid::new_v4();
        let reports = decode_reports(encode_fence_report(id)).unwrap();
        assert_eq!(reports.fences, [id]);
        assert!(reports.pages.is_empty());
        let order = BatchWork::Fence {
            pipe: "work".to_owned(),
            id,
            shard: 7,
        };
        assert_eq!(decode_batch(encode_fence_order("work", id, 7)), Ok(order));
        // As a worker of an older version gives it up.
        let dead = decode_dead_task(encode_fence_task(id, 7)).unwrap();
        assert!(dead.items.is_empty());
    }

    #[test]
    fn unusable_reports_become_failures_not_losses() {
        let forward = |pipe: &str| {
            Some(wire::item_report::Event::Forward(wire::Forward {
                pipe: pipe.into(),
                ..wire::Forward::default()
            }))
        };
        let message = wire::ReportMessage {
            pages: vec![wire::PageReport {
                job_uid: uid_bytes(JobUid(Uuid::new_v4())),
                items: vec![
                    wire::ItemReport {
                        index: 1,
                        event: None,
                        ..Default::default()
                    },
                    wire::ItemReport {
                        index: 2,
                        event: forward("a/b"),
                        ..Default::default()
                    },
                    wire::ItemReport {
                        index: 3,
                        event: forward("headway.jobs"),
                        ..Default::default()
                    },
                ],
                ..Default::default()
            }],
            ..Default::default()
        };
        let reports = decode_reports(message.encode_to_vec().into()).unwrap();
        for item in &reports.pages[0].items {
            let ItemEvent::Failed(failed) = &item.event else {
                panic!("{item:?}")
            };
            assert_eq!(failed.code, code::BAD_REPORT);
            assert!(!failed.retryable);
        }
        assert!(decode_reports(Bytes::from_static(b"\xff\xff")).is_err());
    }
}
