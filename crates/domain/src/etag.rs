//! Etags: short texts that identify what several people change, so that nobody overwrites a change
//! without having seen it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Bytes of the hash that an etag shows, in hexadecimal.
const BYTES: usize = 12;

/// The etag of what these parts are, in this order.
pub fn etag<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Lengths keep parts apart.
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut text = String::with_capacity(2 * BYTES);
    for byte in hash.finalize().iter().take(BYTES) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers of different versions compare them.
    #[test]
    fn an_etag_is_the_same_in_every_version() {
        let of = |parts: &[&[u8]]| etag(parts.iter().copied());
        assert_eq!(of(&[b"a", b"b"]).len(), 24);
        assert_ne!(of(&[b"a", b"b"]), of(&[b"ab", b""]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b""]));
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
    }
}
