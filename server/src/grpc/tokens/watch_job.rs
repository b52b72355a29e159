//! Resume tokens of watches: opaque texts that say which job a stream showed, and up to which
//! revision.
//!
//! Any server reads any other's tokens, and they do not expire. Like a page token a resume token
//! grants nothing.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use headway_domain::{Error, JobUid, limits};
use sha2::{Digest, Sha256};

/// The layout of a token; another one gets another number.
const VERSION: u8 = 1;
/// Bytes before the checksum: version, uid, revision.
const CONTENT: usize = 1 + 16 + 8;
/// Bytes of the checksum.
const CHECK: usize = 8;

/// What a stream showed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The job.
    pub(crate) uid: JobUid,
    /// Its revision.
    pub(crate) revision: i64,
}

impl Shown {
    /// The token.
    pub(crate) fn token(self) -> String {
        let mut bytes = Vec::with_capacity(CONTENT + CHECK);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.uid.0.as_bytes());
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; `None` for the empty one, which asks for the present state.
    ///
    /// # Errors
    /// [`Error::Invalid`] of the field `resume_token` if it is none of ours.
    pub(crate) fn read(token: &str) -> Result<Option<Self>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let refused = || {
            let why = "is not the token of a watch: leave it out to begin with the present state";
            Error::field("resume_token", why)
        };
        Self::parse(token).map(Some).ok_or_else(refused)
    }

    fn parse(token: &str) -> Option<Self> {
        // Before decoding: a token is short, whatever a client sends.
        if token.len() > limits::MAX_TOKEN_BYTES {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (content, sum) = bytes.split_at_checked(CONTENT)?;
        if content.first() != Some(&VERSION) || sum != check(content) {
            return None;
        }
        Some(Self {
            uid: JobUid::from_slice(content.get(1..17)?)?,
            revision: i64::from_be_bytes(content.get(17..25)?.try_into().ok()?),
        })
    }
}

fn check(content: &[u8]) -> [u8; CHECK] {
    let sum = Sha256::new().chain_update("watch").chain_update(content);
    let mut check = [0; CHECK];
    check.copy_from_slice(&sum.finalize()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn shown(uid: u128, revision: i64) -> Shown {
        Shown {
            uid: JobUid(Uuid::from_u128(uid)),
            revision,
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token = shown(7, 1).token();
        assert!(token.len() <= limits::MAX_TOKEN_BYTES);
        let long = "A".repeat(1_000_000);
        for bad in [
            "x",
            "!!!!",
            &token[..token.len() - 1],
            &format!("{token}AA"),
            &long,
        ] {
            let error = Shown::read(bad).unwrap_err();
            assert!(matches!(error, Error::Invalid(list) if list[0].field == "resume_token"));
        }
        assert_eq!(Shown::read(""), Ok(None));
    }

    proptest! {
        #[test]
        fn round_trip_and_no_single_change_passes(uid: u128, revision: i64, at in 0usize..43, letter in "[A-Za-z0-9_-]") {
            let token = shown(uid, revision).token();
            prop_assert_eq!(Shown::read(&token), Ok(Some(shown(uid, revision))));
            let mut changed = token.clone();
            changed.replace_range(at..at + 1, &letter);
            prop_assert_eq!(Shown::read(&changed).is_ok(), changed == token);
        }
    }
}
