//! Numbers, durations, times and texts for people.

use jiff::{Timestamp, tz::TimeZone};

/// A count with thousands set apart: `1,234,567`.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 item`, `2 items`.
pub(crate) fn counted(number: i64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{} {noun}s", count(number)),
    }
}

/// A percentage, rounded down, so that 100.0% means all of it.
pub(crate) fn percentage(value: f64) -> String {
    format!("{:.1}%", (value * 10.0).floor() / 10.0)
}

/// A rate per second, or per minute or hour where that reads better; nothing for none.
pub(crate) fn rate(per_second: f64) -> Option<String> {
    if !per_second.is_finite() || per_second <= 0.0 {
        return None;
    }
    Some(if per_second >= 9.95 {
        // At most 20 digits of a float without fraction: it is a whole number as text.
        let whole = format!("{per_second:.0}")
            .parse()
            .map_or_else(|_| "many".to_owned(), count);
        format!("{whole}/s")
    } else if per_second >= 0.1 {
        format!("{per_second:.1}/s")
    } else if per_second * 60.0 >= 0.1 {
        format!("{:.1}/min", per_second * 60.0)
    } else {
        format!("{:.1}/h", per_second * 3600.0)
    })
}

/// A length of time with its two largest units: `0.4s`, `42s`, `3m 20s`, `2h 05m`, `3d 4h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole: u64 = match format!("{seconds:.0}").parse() {
        Ok(whole) => whole,
        Err(_) => return "unknown".to_owned(),
    };
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match whole {
        ..60 => format!("{whole}s"),
        60..3600 => format!("{minutes}m {:02}s", whole % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A duration of the wire, in seconds.
pub(crate) fn seconds(duration: &prost_types::Duration) -> f64 {
    // Doubles hold every second of 285 million years.
    let whole: f64 = duration.seconds.to_string().parse().unwrap_or(f64::NAN);
    whole + f64::from(duration.nanos) / 1e9
}

/// The time between two moments, in seconds.
pub(crate) fn between(start: &prost_types::Timestamp, end: &prost_types::Timestamp) -> f64 {
    seconds(&prost_types::Duration {
        seconds: end.seconds.saturating_sub(start.seconds),
        nanos: end.nanos.saturating_sub(start.nanos),
    })
}

/// A moment in the reader's zone: `2026-03-01 14:05:09+02:00`, with `Z` for UTC; `-` for none.
pub(crate) fn time(moment: Option<&prost_types::Timestamp>, zone: &TimeZone) -> String {
    let moment = moment.and_then(|moment| Timestamp::new(moment.seconds, moment.nanos).ok());
    match moment {
        Some(moment) => {
            let shown = moment.to_zoned_datetime(zone.clone());
            let format = match shown.offset().seconds() == 0 {
                true => "%Y-%m-%d %H:%M:%SZ",
                false => "%Y-%m-%d %H:%M:%S%:z",
            };
            shown.strftime(format).to_string()
        }
        None => "-".to_owned(),
    }
}

/// A text of a stranger on one line, without anything that could steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for letter in text.trim().chars() {
        match letter {
            '\n' | '\r' | '\t' => cleaned.push(' '),
            letter if letter.is_control() || is_invisible(letter) => cleaned.push('\u{fffd}'),
            letter => cleaned.push(letter),
        }
    }
    cleaned
}

/// Whether a letter only changes how others are shown, such as their direction.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_are_grouped() {
        let all = [0, 999, 1000, 1_234_567, -1000, i64::MIN].map(count);
        assert_eq!(
            all,
            [
                "0",
                "999",
                "1,000",
                "1,234,567",
                "-1,000",
                "-9,223,372,036,854,775,808"
            ]
        );
        assert_eq!(
            [counted(1, "item"), counted(0, "item")],
            ["1 item", "0 items"]
        );
    }

    #[test]
    fn percentages_round_down() {
        assert_eq!(
            [0.0, 42.0, 99.99, 100.0].map(percentage),
            ["0.0%", "42.0%", "99.9%", "100.0%"]
        );
    }

    #[test]
    fn rates_choose_their_unit() {
        let all =
            [12_345.6, 120.4, 3.25, 0.05, 0.0005].map(|value| rate(value).unwrap_or_default());
        assert_eq!(all, ["12,346/s", "120/s", "3.2/s", "3.0/min", "1.8/h"]);
        assert!(
            [0.0, -1.0, f64::NAN, f64::INFINITY]
                .iter()
                .all(|value| rate(*value).is_none())
        );
    }

    #[test]
    fn durations_have_two_units() {
        let all = [0.43, 42.2, 59.6, 200.0, 7500.0, 360_000.0].map(duration);
        assert_eq!(all, ["0.4s", "42s", "1m 00s", "3m 20s", "2h 05m", "4d 4h"]);
        assert_eq!(duration(-1.0), "unknown");
    }

    #[test]
    fn times_are_local() -> Result<(), jiff::Error> {
        let moment = prost_types::Timestamp {
            seconds: 1_772_373_909,
            nanos: 5,
        };
        assert_eq!(time(Some(&moment), &TimeZone::UTC), "2026-03-01 14:05:09Z");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(time(Some(&moment), &zone), "2026-03-01 16:05:09+02:00");
        assert_eq!(time(None, &zone), "-");
        let end = prost_types::Timestamp {
            seconds: 1_772_373_910,
            nanos: 0,
        };
        assert!((between(&moment, &end) - 1.0).abs() < 1e-6);
        Ok(())
    }

    proptest! {
        #[test]
        fn cleaned_texts_cannot_steer_a_terminal(text in any::<String>()) {
            let steers = clean(&text).chars().any(|letter| letter.is_control() || is_invisible(letter));
            prop_assert!(!steers);
        }
    }
}
