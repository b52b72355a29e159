//! Reports of workers. Their texts are cut and cleaned here.

use bytes::Bytes;
use headway::wire;
use headway_domain::{
    PipeName,
    batches::Forward,
    jobs::bulk::RESERVED,
    limits,
    reports::{Failed, ItemEvent, ItemReport, PageReport, code},
};
use prost::Message;
use uuid::Uuid;

use super::Malformed;
use super::ids::{fence_bytes, uid};

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

/// Reads a report message. An item whose event is missing or unusable is reported as failed with
/// BAD_REPORT, so that it cannot be lost.
pub fn decode_reports(body: Bytes) -> Result<Reports, Malformed> {
    let message = wire::ReportMessage::decode(body)?;
    let session = Uuid::from_slice(&message.session).unwrap_or(Uuid::nil());
    let worker = headway_domain::values::text::clean(&message.worker, limits::MAX_ID_BYTES);
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
        (&forward.r#type, limits::MAX_SHORT_TEXT_BYTES),
        (&forward.content_type, limits::MAX_ID_BYTES),
    ];
    if texts
        .iter()
        .any(|(text, most)| text.len() > *most || text.contains('\0'))
    {
        return Err(
            "the item was forwarded with a task type or content type that is too long".to_owned(),
        );
    }
    if forward.payload.len() > limits::MAX_PAYLOAD_BYTES {
        return Err(format!(
            "the item was forwarded with a payload above {} bytes",
            limits::MAX_PAYLOAD_BYTES
        ));
    }
    Ok(Forward {
        pipe: forward.pipe,
        task_type: forward.r#type,
        payload: forward.payload.into(),
        content_type: forward.content_type,
    })
}

/// Writes a report that consists of a fence.
pub fn encode_fence_report(id: Uuid) -> Bytes {
    let message = wire::ReportMessage {
        fences: vec![fence_bytes(id)],
        ..wire::ReportMessage::default()
    };
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use headway_domain::JobUid;

    use super::*;
    use crate::codec::ids::uid_bytes;

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
