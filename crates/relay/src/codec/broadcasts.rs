//! Broadcasts: control messages to workers, and events to servers.

use bytes::Bytes;
use headway::wire;
use headway_domain::{PartitionId, slice::Disposition};
use headway_store::{Change, Control};
use prost::Message;

use super::Malformed;
use super::ids::{uid, uid_bytes};

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
