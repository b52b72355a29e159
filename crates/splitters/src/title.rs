//! A stored definition as a short text for people, in a tree of batches.

use serde_json::{Map, Value};

use crate::definition::stored_content;

/// Bytes of a title at most.
const BYTES: usize = 256;
/// Fields that say what a batch is about, the most telling first.
const TELLING: [&str; 6] = ["dir", "root", "path", "file", "url", "name"];

/// What a batch with this stored definition, of which only the beginning need be there, is about:
/// its folder or file, its range, or the beginning of its text. At most 256 bytes.
#[must_use]
pub fn title(stored: &[u8]) -> String {
    let content = stored_content(stored);
    let told = match serde_json::from_slice(content) {
        Ok(Value::Object(fields)) => telling(&fields),
        Ok(Value::String(text)) => Some(text),
        // Also text that was cut, which is no JSON any more.
        Ok(_) | Err(_) => None,
    };
    let text = told.unwrap_or_else(|| String::from_utf8_lossy(content).into_owned());
    cut(&text)
}

fn telling(fields: &Map<String, Value>) -> Option<String> {
    let text = |key: &&str| fields.get(*key)?.as_str().filter(|text| !text.is_empty());
    if let Some(text) = TELLING.iter().find_map(text) {
        return Some(text.to_owned());
    }
    let (from, to) = (fields.get("from")?, fields.get("to")?);
    Some(format!("{from}..{to}"))
}

fn cut(text: &str) -> String {
    let mut title = String::new();
    for letter in text.chars() {
        let letter = if letter.is_control() { ' ' } else { letter };
        if title.len() + letter.len_utf8() > BYTES {
            break;
        }
        title.push(letter);
    }
    title
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Definition;

    fn of(value: Value) -> String {
        title(&Definition::Json(value).encode())
    }

    #[test]
    fn the_telling_part() {
        assert_eq!(of(json!({"root": "/data", "dir": "a/b"})), "a/b");
        assert_eq!(of(json!({"root": "/data", "dir": ""})), "/data");
        assert_eq!(of(json!({"from": 0, "to": 4096, "step": 1})), "0..4096");
        assert_eq!(of(json!(["a", 1])), "[\"a\",1]");
        assert_eq!(of(json!({"x": true})), "{\"x\":true}");
        assert_eq!(title(&Definition::Data("a\nb".into()).encode()), "a b");
    }

    #[test]
    fn cut_and_broken_definitions() {
        let long = Definition::Json(json!({"dir": "ä".repeat(4000)})).encode();
        assert!(of(json!({"dir": "ä".repeat(4000)})).len() == BYTES);
        assert!(title(&long[..1000]).starts_with("{\"dir\":\"ää"));
        assert_eq!(title(&[]), "");
        assert_eq!(title(&[1, 0xff, b'x']), "\u{fffd}x");
    }
}
