//! Long paths in messages.

/// Bytes of a path that a message shows.
const SHOWN: usize = 300;
/// What stands for the part that is left out.
const GAP: &str = " ... ";

/// A path for a message, in quotes. The middle of a long one is left out, so that what follows it
/// in the message stays.
#[must_use]
pub fn shorten(path: &std::path::Path) -> String {
    let text = format!("{path:?}");
    if text.len() <= SHOWN {
        return text;
    }
    let half = (SHOWN - GAP.len()) / 2;
    let start = text.floor_char_boundary(half);
    let end = text.ceil_char_boundary(text.len() - half);
    format!("{}{GAP}{}", &text[..start], &text[end..])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_middle_of_a_long_path_is_left_out() {
        assert_eq!(shorten(Path::new("/a b")), "\"/a b\"");
        let long = format!("/first/{}/last", "ä".repeat(5000));
        let short = shorten(Path::new(&long));
        assert!(short.len() <= SHOWN, "{}", short.len());
        assert!(
            short.starts_with("\"/first/ä") && short.ends_with("ä/last\""),
            "{short}"
        );
    }
}
