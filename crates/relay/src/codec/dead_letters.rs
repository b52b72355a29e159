//! Task messages that the broker gave up.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use headway::wire;
use headway_domain::reports::{Failed, ItemEvent, ItemReport, PageReport, code};
use prost::Message;
use serde_json::json;
use uuid::Uuid;

use super::Malformed;
use super::ids::uid;

/// Bytes of a dead letter's payload that are kept to be looked at.
const SHOWN: usize = 1024;

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
