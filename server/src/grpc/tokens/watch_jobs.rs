//! Resume tokens of watches of jobs: opaque texts that say up to when a stream had shown
//! everything, bound to what it showed.
//!
//! Any server reads any other's tokens. Like a page token a resume token grants nothing.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use headway_domain::{Error, limits};
use headway_store::Position;
use sha2::{Digest, Sha256};

use crate::watch::Since;

/// The layout of a token; another one gets another number.
const VERSION: u8 = 2;
/// Bytes before the checksum: version, time, transaction, number.
const CONTENT: usize = 1 + 3 * 8;
/// Bytes of the checksum.
const CHECK: usize = 16;

/// What a stream shows: its tokens are good for no other.
#[derive(Debug, Clone)]
pub(crate) struct Shows(Sha256);

impl Shows {
    /// The stream of a partition with this filter, as texts.
    pub(crate) fn new<'a>(partition: &'a str, filter: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for text in std::iter::once(partition).chain(filter) {
            hash.update(text.len().to_be_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash)
    }

    /// The token.
    pub(crate) fn token(&self, since: Since) -> String {
        let mut bytes = Vec::with_capacity(CONTENT + CHECK);
        bytes.push(VERSION);
        for number in [since.time, since.position.tx, since.position.seq] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let check = self.check(&bytes);
        bytes.extend_from_slice(&check);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; `None` for the empty one, which asks for a listing.
    ///
    /// # Errors
    /// [`Error::Invalid`] of the field `resume_token` if it is none of this stream's.
    pub(crate) fn read(&self, token: &str) -> Result<Option<Since>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let refused = || {
            let why = "is not the token of a watch with this parent and filter: leave it out to begin with a listing";
            Error::field("resume_token", why)
        };
        self.parse(token).map(Some).ok_or_else(refused)
    }

    fn parse(&self, token: &str) -> Option<Since> {
        // Before decoding: a token is short, whatever a client sends.
        if token.len() > limits::MAX_TOKEN_BYTES {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (content, sum) = bytes.split_at_checked(CONTENT)?;
        if content.first() != Some(&VERSION) || sum != self.check(content) {
            return None;
        }
        let number = |at: usize| {
            Some(i64::from_be_bytes(
                content.get(at..at + 8)?.try_into().ok()?,
            ))
        };
        Some(Since {
            time: number(1)?,
            position: Position {
                tx: number(9)?,
                seq: number(17)?,
            },
        })
    }

    fn check(&self, content: &[u8]) -> [u8; CHECK] {
        let hash = self.0.clone().chain_update(content).finalize();
        let mut check = [0; CHECK];
        check.copy_from_slice(&hash[..CHECK]);
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_only_to_their_stream() {
        let since = Since {
            time: 1_700_000_000_000_000,
            position: Position { tx: 7, seq: 9 },
        };
        let shows = Shows::new("p", ["ACTIVE", "k"]);
        let token = shows.token(since);
        assert!(token.len() <= limits::MAX_TOKEN_BYTES);
        assert_eq!(shows.read(&token), Ok(Some(since)));
        assert_eq!(shows.read(""), Ok(None));
        for other in [
            Shows::new("q", ["ACTIVE", "k"]),
            Shows::new("p", ["ACTIVEk"]),
            Shows::new("p", []),
        ] {
            assert!(other.read(&token).is_err());
        }
        let cut = &token[..token.len() - 1];
        for bad in [
            "x",
            cut,
            &token.replace(&token[..4], "AAAA"),
            &"A".repeat(5000),
        ] {
            assert!(shows.read(bad).is_err(), "{bad}");
        }
    }
}
