//! Page tokens: opaque texts that say where the next page begins, bound to the query that they came
//! from.
//!
//! A token is not a secret and grants nothing: what it says is checked like any other input. Its
//! checksum finds tokens that were cut, changed or used with another query.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use headway_domain::{Error, limits};
use sha2::{Digest, Sha256};

/// The layout of a token; another one gets another number.
const VERSION: u8 = 1;
/// How long a token can be used, in seconds: 24 hours.
const LIFETIME: u64 = 24 * 3600;
/// How far ahead the clock of the server that issued a token may be, in seconds.
const CLOCK_SKEW: u64 = 300;
/// Bytes of the checksum.
const CHECK: usize = 16;
/// Bytes before what it says: version, time.
const HEAD: usize = 1 + 8;
/// Bytes of what it says at most: a key and a display name.
#[cfg(test)]
const SAID: usize = 8 + 256;

/// The query that a token belongs to: everything about a request but the token and the page's size.
#[derive(Debug, Clone)]
pub(crate) struct Query(Sha256);

impl Query {
    /// A query of this kind, such as the method's name.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Sha256::new()).with(kind)
    }

    /// The same query narrowed by one more text. Order counts; lengths keep texts apart.
    pub(crate) fn with(self, text: &str) -> Self {
        self.with_bytes(text.as_bytes())
    }

    /// The same with bytes. What is hashed must be the same in every version: wire forms, and names
    /// that are written out.
    pub(crate) fn with_bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes.len().to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// The token for the page that follows these keys.
    pub(crate) fn token(&self, keys: [i64; 2], now: u64) -> String {
        self.write(&keys.map(i64::to_be_bytes).concat(), now)
    }

    /// The token for the page that follows this text, of at most 128 bytes.
    pub(crate) fn text_token(&self, text: &str, now: u64) -> String {
        self.write(text.as_bytes(), now)
    }

    /// The token for the page that follows this place in an order: a key, and a text of at most 256
    /// bytes.
    pub(crate) fn place_token(&self, key: i64, text: &str, now: u64) -> String {
        let mut said = key.to_be_bytes().to_vec();
        said.extend_from_slice(text.as_bytes());
        self.write(&said, now)
    }

    /// The place in a token of this query; `None` for the empty token, which asks for the first
    /// page.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub(crate) fn place(&self, token: &str, now: u64) -> Result<Option<(i64, String)>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let said = self.read(token, now).ok_or(Error::PageToken)?;
        let (key, text) = said.split_at_checked(8).ok_or(Error::PageToken)?;
        let key = key.try_into().map(i64::from_be_bytes);
        let text = String::from_utf8(text.to_vec());
        match (key, text) {
            (Ok(key), Ok(text)) => Ok(Some((key, text))),
            _ => Err(Error::PageToken),
        }
    }

    fn write(&self, said: &[u8], now: u64) -> String {
        let mut bytes = Vec::with_capacity(HEAD + said.len() + CHECK);
        bytes.push(VERSION);
        bytes.extend_from_slice(&now.to_be_bytes());
        bytes.extend_from_slice(said);
        let check = self.check(&bytes);
        bytes.extend_from_slice(&check);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The keys in a token of this query; `None` for the empty token, which asks for the first
    /// page.
    ///
    /// # Errors
    /// [`Error::PageToken`] if it is malformed, of another query, or older than 24 hours.
    pub(crate) fn keys(&self, token: &str, now: u64) -> Result<Option<[i64; 2]>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let said = self.read(token, now).ok_or(Error::PageToken)?;
        let keys = <[u8; 16]>::try_from(said).map_err(|_| Error::PageToken)?;
        let (first, second) = keys.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes);
        match (number(first), number(second)) {
            (Ok(first), Ok(second)) => Ok(Some([first, second])),
            _ => Err(Error::PageToken),
        }
    }

    /// The text in a token of this query; `None` for the empty token, which asks for the first
    /// page.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub(crate) fn text(&self, token: &str, now: u64) -> Result<Option<String>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let said = self.read(token, now).ok_or(Error::PageToken)?;
        String::from_utf8(said)
            .map(Some)
            .map_err(|_| Error::PageToken)
    }

    fn read(&self, token: &str, now: u64) -> Option<Vec<u8>> {
        // Before decoding: a token is short, whatever a client sends.
        if token.len() > limits::MAX_TOKEN_BYTES {
            return None;
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (content, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
        if content.first() != Some(&VERSION) || check != self.check(content) {
            return None;
        }
        let issued = u64::from_be_bytes(content.get(1..HEAD)?.try_into().ok()?);
        if now > issued.saturating_add(LIFETIME) || issued > now.saturating_add(CLOCK_SKEW) {
            return None;
        }
        bytes.truncate(bytes.len() - CHECK);
        Some(bytes.split_off(HEAD))
    }

    fn check(&self, content: &[u8]) -> [u8; CHECK] {
        let mut hasher = self.0.clone();
        hasher.update(content);
        let mut check = [0; CHECK];
        check.copy_from_slice(&hasher.finalize()[..CHECK]);
        check
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn query() -> Query {
        Query::new("jobs").with("partitions/acme").with("ACTIVE")
    }

    #[test]
    fn tokens_expire_after_a_day_and_do_not_come_from_the_future() {
        let token = query().token([7, 0], NOW);
        assert_eq!(query().keys(&token, NOW + LIFETIME), Ok(Some([7, 0])));
        assert_eq!(
            query().keys(&token, NOW + LIFETIME + 1),
            Err(Error::PageToken)
        );
        assert_eq!(query().keys(&token, NOW - CLOCK_SKEW), Ok(Some([7, 0])));
        assert_eq!(
            query().keys(&token, NOW - CLOCK_SKEW - 1),
            Err(Error::PageToken)
        );
    }

    #[test]
    fn tokens_belong_to_their_query() {
        let token = query().token([7, 1], NOW);
        let others = [
            Query::new("failures")
                .with("partitions/acme")
                .with("ACTIVE"),
            Query::new("jobs").with("partitions/other").with("ACTIVE"),
            Query::new("jobs").with("partitions/acme"),
            Query::new("jobs").with("partitions/acmeA").with("CTIVE"),
        ];
        for other in others {
            assert_eq!(other.keys(&token, NOW), Err(Error::PageToken));
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token = query().token([7, 1], NOW);
        let long = "A".repeat(1_000_000);
        for bad in [
            "x",
            "!!!!",
            &token[..token.len() - 1],
            &format!("{token}AA"),
            &long,
        ] {
            assert_eq!(query().keys(bad, NOW), Err(Error::PageToken));
        }
        assert_eq!(query().keys("", NOW), Ok(None));
    }

    #[test]
    fn texts_come_back_and_are_no_keys() {
        let token = query().text_token("a-pipe.ä", NOW);
        assert_eq!(query().text(&token, NOW), Ok(Some("a-pipe.ä".to_owned())));
        assert_eq!(query().keys(&token, NOW), Err(Error::PageToken));
        assert_eq!(query().text("", NOW), Ok(None));
        let longest = query().text_token(&"x".repeat(SAID), NOW);
        assert!(longest.len() <= limits::MAX_TOKEN_BYTES);
        assert_eq!(query().text(&longest, NOW).unwrap().unwrap().len(), SAID);
    }

    proptest! {
        #[test]
        fn round_trip_and_no_single_change_passes(a: i64, b: i64, at in 0usize..54, letter in "[A-Za-z0-9_-]") {
            let token = query().token([a, b], NOW);
            prop_assert_eq!(query().keys(&token, NOW), Ok(Some([a, b])));
            let mut changed = token.clone();
            changed.replace_range(at..at + 1, &letter);
            let expected = if changed == token { Ok(Some([a, b])) } else { Err(Error::PageToken) };
            prop_assert_eq!(query().keys(&changed, NOW), expected);
        }
    }
}
