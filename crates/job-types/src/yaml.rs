//! Reads YAML as version 1.2, so that `no` and `on` are texts, and within bounds that keep a file
//! of aliases from growing without end.

use serde::de::DeserializeOwned;

/// Reads one document.
///
/// # Errors
/// Says what is wrong and where.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_true_and_false_are_booleans() {
        let read: Value = read("{a: no, b: on, c: true, d: 1.5, e: 0x10, f: ~, g: 2026-03-01}")
            .expect("valid YAML");
        assert_eq!(
            read,
            json!({"a": "no", "b": "on", "c": true, "d": 1.5, "e": 16, "f": null, "g": "2026-03-01"})
        );
    }

    #[test]
    fn aliases_cannot_grow_without_end() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            let aliases = vec![format!("*a{before}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(read::<Value>(&text).is_err());
    }

    #[test]
    fn faults_say_where() {
        let error = read::<Value>("a: 1\nb: [1\nc: 2\n").expect_err("an open list");
        assert!(error.contains("line 3") || error.contains("3:"), "{error}");
    }
}
