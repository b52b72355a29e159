//! Texts that a database takes.

/// Cuts a text to at most `most` bytes at a character boundary and replaces U+0000 by U+FFFD.
pub fn clean(text: &str, most: usize) -> String {
    let text = text.replace('\0', "\u{fffd}");
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
