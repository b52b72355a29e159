//! Texts and names at the edge: what leaves the worker fits the contract's bounds.

/// The most bytes of a failure's code.
pub const MAX_CODE_BYTES: usize = 128;
/// The most bytes of a failure's message.
pub const MAX_MESSAGE_BYTES: usize = 4096;
/// The most bytes of a failure's details.
pub const MAX_DETAILS_BYTES: usize = 16 * 1024;
/// The most bytes of a pipe's name, and of a media type.
pub const MAX_NAME_BYTES: usize = 128;
/// The most bytes of a task type.
pub const MAX_TYPE_BYTES: usize = 256;
/// The most bytes of a forwarded payload or a result.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// The text without U+0000, which databases refuse, and cut to at most `limit` bytes between
/// characters.
pub fn clean(text: String, limit: usize) -> String {
    let mut text = if text.contains('\0') {
        text.replace('\0', "")
    } else {
        text
    };
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
    text
}

/// Whether a pipe may have this name: 1 to 128 bytes of ASCII letters, digits, `_`, `-` and `.`.
pub fn is_pipe_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed)
}

/// Whether items and results may be sent to a pipe of this name. Names that begin with `headway.`
/// are Headway's own.
pub fn is_target_pipe(name: &str) -> bool {
    is_pipe_name(name) && !name.starts_with("headway.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pipe_names_keep_to_their_letters() {
        for good in ["documents.export", "a", "A-b_c.9", &"x".repeat(128)] {
            assert!(is_pipe_name(good), "{good}");
            assert!(is_target_pipe(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "hw.*", "ä", "a\0", &"x".repeat(129)] {
            assert!(!is_pipe_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        assert_eq!(clean("äöü".into(), 3), "ä");
        assert_eq!(clean("a\0b\0".into(), 9), "ab");
    }

    proptest! {
        #[test]
        fn clean_text_fits_and_is_a_prefix(text in "(\\PC|\0){0,80}", limit in 0_usize..100) {
            let cleaned = clean(text.clone(), limit);
            prop_assert!(cleaned.len() <= limit);
            prop_assert!(!cleaned.contains('\0'));
            prop_assert!(text.replace('\0', "").starts_with(&cleaned));
        }
    }
}
