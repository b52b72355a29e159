//! Lengths of time as people write them in a configuration: `5s`, `1m 30s`, `250ms`, or a number
//! of seconds. Used through `#[serde(with = "headway_runtime::duration")]`.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Reads a length of time: a number is seconds, everything else carries units (`h`, `m`, `s`,
/// `ms`, `us`, `ns`). Days and longer are refused, because their length depends on the calendar.
///
/// # Errors
/// A sentence for the user when the text is not a length of time, is negative or too long.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return from_seconds(seconds);
    }
    let signed: SignedDuration = text.parse().map_err(|_| {
        format!("`{text}` is not a length of time such as `5s`, `1m 30s` or `250ms`")
    })?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is negative"))
}

/// Writes a length of time so that [`parse`] reads the same value back.
pub fn format(duration: Duration) -> String {
    match SignedDuration::try_from(duration) {
        Ok(signed) => format!("{signed:#}"),
        // Longer than 292 billion years: only the plain number can say it.
        Err(_) => duration.as_secs().to_string(),
    }
}

fn from_seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("`{seconds}` is not a possible number of seconds"))
}

/// The writing half of the serde module.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// The reading half of the serde module.
///
/// # Errors
/// Where the value is neither a number nor a text that [`parse`] accepts.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a length of time such as `5s`, or a number of seconds")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds =
            u64::try_from(seconds).map_err(|_| E::custom(format!("`{seconds}` is negative")))?;
        Ok(Duration::from_secs(seconds))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        from_seconds(seconds).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        let table = [
            ("5s", Duration::from_secs(5)),
            ("300", Duration::from_secs(300)),
            ("0.25", Duration::from_millis(250)),
            ("250ms", Duration::from_millis(250)),
            ("1m 30s", Duration::from_secs(90)),
            ("1m30s", Duration::from_secs(90)),
            (" 2h ", Duration::from_secs(7200)),
            ("0", Duration::ZERO),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_length_of_time() {
        for text in [
            "",
            "soon",
            "-5s",
            "-1",
            "5 parsecs",
            "1d",
            "NaN",
            "inf",
            "1e300",
            "5s ago",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanoseconds in any::<u64>()) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
