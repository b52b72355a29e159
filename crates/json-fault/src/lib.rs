//! What is wrong with JSON, told without quoting it: a failure is read by people who may not see
//! the data.

use serde_json::error::Category;

/// Bytes of a field's name that a message shows.
const MAX_FIELD_BYTES: usize = 64;

/// What is wrong, without the value that is: its kind, its place, and the names of fields. Messages
/// that a type makes itself, by `serde::de::Error::custom`, are as the type has them.
#[must_use]
pub fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.classify() != Category::Data {
        return text;
    }
    let place = match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    };
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some(found) = text.strip_prefix(kind) {
            let end = found.find(['`', '"', ',']).unwrap_or(found.len());
            let expected = found
                .rsplit_once(", expected ")
                .map_or("", |(_, text)| text);
            return format!("{kind}{}, expected {expected}", found[..end].trim_end());
        }
    }
    if text.starts_with("unknown variant ") {
        let expected = text.rsplit_once(", expected ").map_or("", |(_, text)| text);
        return format!("unknown variant, expected {expected}");
    }
    if let Some(found) = text.strip_prefix("unknown field `") {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let plain = |name: &&str| name.len() <= MAX_FIELD_BYTES && name.bytes().all(known);
        return match found.split('`').next().filter(plain) {
            Some(name) => format!("unknown field `{name}`{place}"),
            None => format!("unknown field{place}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Payload {
        #[allow(dead_code)]
        number: u8,
        #[allow(dead_code)]
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
    }

    fn fault(text: &str) -> String {
        json_fault(&serde_json::from_str::<Payload>(text).expect_err("does not fit"))
    }

    #[test]
    fn values_are_not_quoted() {
        const SECRET: &str = r#"root:$6$, expected \"x`, expected secret"#;
        for text in [
            format!("\"{SECRET}\""),
            format!("{{\"number\": \"{SECRET}\"}}"),
            format!("{{\"number\": 1, \"kind\": \"{SECRET}\"}}"),
            format!("{{\"{SECRET}\": 1}}"),
            SECRET.to_string(),
        ] {
            let fault = fault(&text);
            for part in ["root", "$6", "secret"] {
                assert!(!fault.contains(part), "{fault}");
            }
        }
        assert!(!fault("{\"number\": 70000}").contains("70000"));
    }

    #[test]
    fn what_helps_stays() {
        assert_eq!(
            fault("{\"number\": \"x\"}"),
            "invalid type: string, expected u8 at line 1 column 14"
        );
        assert_eq!(fault("{}"), "missing field `number` at line 1 column 2");
        assert!(fault("{\"nummer\": 1}").starts_with("unknown field `nummer` at line 1"));
        assert!(fault("{\"number\": 1, \"kind\": \"x\"}").contains("expected `plain`"));
        assert!(fault("{").starts_with("EOF while parsing"));
    }
}
