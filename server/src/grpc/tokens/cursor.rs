//! Cursors of the audit log: opaque texts that say where to go on. Any server reads any other's,
//! and they grant nothing.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use headway_domain::limits;
use headway_store::Position;
use sha2::{Digest, Sha256};

/// The layout of a cursor; another one gets another number.
const VERSION: u8 = 1;
/// Bytes before the checksum: version, transaction, number.
const CONTENT: usize = 1 + 8 + 8;
/// Bytes of the checksum.
const CHECK: usize = 8;

/// The cursor of a position.
pub(crate) fn cursor_text(position: Position) -> String {
    let mut bytes = Vec::with_capacity(CONTENT + CHECK);
    bytes.push(VERSION);
    bytes.extend_from_slice(&position.tx.to_be_bytes());
    bytes.extend_from_slice(&position.seq.to_be_bytes());
    let check = check(&bytes);
    bytes.extend_from_slice(&check);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The position of a cursor, if it is one of ours.
pub(crate) fn parse(cursor: &str) -> Option<Position> {
    // Before decoding: a cursor is short, whatever a client sends.
    if cursor.len() > limits::MAX_TOKEN_BYTES {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (content, sum) = bytes.split_at_checked(CONTENT)?;
    if content.first() != Some(&VERSION) || sum != check(content) {
        return None;
    }
    let number = |at: usize| {
        Some(i64::from_be_bytes(
            content.get(at..at + 8)?.try_into().ok()?,
        ))
    };
    Some(Position {
        tx: number(1)?,
        seq: number(9)?,
    })
}

fn check(content: &[u8]) -> [u8; CHECK] {
    let hash = Sha256::new()
        .chain_update("headway event cursor")
        .chain_update(content)
        .finalize();
    let mut check = [0; CHECK];
    check.copy_from_slice(&hash[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_cursor_is_refused() {
        let cursor = cursor_text(Position { tx: 7, seq: 9 });
        let cut = &cursor[..cursor.len() - 1];
        for bad in [
            "",
            "x",
            "!!!!",
            cut,
            &format!("{cursor}AA"),
            &"A".repeat(100_000),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn cursors_come_back(tx: i64, seq: i64) {
            let position = Position { tx, seq };
            let cursor = cursor_text(position);
            prop_assert!(cursor.len() <= limits::MAX_TOKEN_BYTES);
            prop_assert_eq!(parse(&cursor), Some(position));
        }
    }
}
