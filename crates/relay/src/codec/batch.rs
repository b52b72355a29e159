//! Work for batch workers.

use bytes::Bytes;
use headway::wire;
use headway_domain::JobUid;
use headway_store::{OutboxKind, OutboxMessage};
use prost::Message;
use uuid::Uuid;

use super::Malformed;
use super::ids::{fence_bytes, uid, uid_bytes};

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
pub fn encode_owed(owed: &OutboxMessage) -> Bytes {
    use wire::batch_message::Action;
    let action = match owed.kind {
        OutboxKind::Split => Action::Split(wire::Split {
            attempt: owed.attempt,
        }),
        OutboxKind::Dispatch => Action::Dispatch(wire::Dispatch {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owed_messages_round_trip() {
        let owed = OutboxMessage {
            id: 1,
            uid: JobUid(Uuid::new_v4()),
            kind: OutboxKind::Dispatch,
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
}
