//! Ids as messages have them.

use bytes::Bytes;
use headway_domain::JobUid;
use uuid::Uuid;

use super::Malformed;

pub(super) fn uid(bytes: &[u8]) -> Result<JobUid, Malformed> {
    JobUid::from_slice(bytes).ok_or_else(|| Malformed("job_uid must be 16 bytes".to_owned()))
}

pub(super) fn uid_bytes(uid: JobUid) -> Bytes {
    Bytes::copy_from_slice(uid.0.as_bytes())
}

pub(super) fn fence_bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}
