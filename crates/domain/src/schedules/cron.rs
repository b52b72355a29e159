//! Which cron patterns clients may send. [`super::timetable`] reads these, and also the patterns
//! that earlier versions stored.

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const NICKNAMES: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// A field of a pattern.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names that stand for numbers, from `least` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 6] = [
    Field::numbers("second", 0, 59),
    Field::numbers("minute", 0, 59),
    Field::numbers("hour", 0, 23),
    Field::numbers("day of the month", 1, 31),
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &MONTHS,
    },
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &WEEKDAYS,
    },
];
const DAY: usize = 3;
const WEEKDAY: usize = 5;

/// The pattern in the form that is stored: `@midnight` becomes `@daily`, which every version reads.
pub(crate) fn normal(pattern: &str) -> &str {
    match pattern.trim().eq_ignore_ascii_case("@midnight") {
        true => "@daily",
        false => pattern,
    }
}

/// Checks a pattern field by field.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    let pattern = pattern.trim();
    if pattern.starts_with('@') {
        let known = NICKNAMES.iter();
        return match known.clone().any(|name| name.eq_ignore_ascii_case(pattern)) {
            true => Ok(()),
            false => Err(format!(
                "{pattern:?} is no nickname; those are {}",
                known.copied().collect::<Vec<_>>().join(", ")
            )),
        };
    }
    let parts: Vec<&str> = pattern.split_whitespace().collect();
    let skipped = match parts.len() {
        5 => 1,
        6 => 0,
        7 => {
            return Err(
                "it has 7 fields; a year cannot be given, so leave the seventh out".to_owned(),
            );
        }
        many => {
            return Err(format!(
                "it has {many} fields, and must have 5 (minute, hour, day of the month, month, day of the week) \
                 or 6 with the second before them"
            ));
        }
    };
    for (at, part) in (skipped..).zip(parts) {
        let field = &FIELDS[at];
        // A plus before the weekdays asks for both day and weekday to fit.
        let list = match at == WEEKDAY {
            true => part.strip_prefix('+').unwrap_or(part),
            false => part,
        };
        for item in list.split(',') {
            if !field.takes(item) && !is_special(at, item) {
                return Err(format!(
                    "{item:?} in {part:?} is no {}: that is *, {} to {}{}, a range such as {}-{}, or one of these with a step such as */2",
                    field.name,
                    field.least,
                    field.most,
                    match field.names {
                        [first, ..] => format!(" or a name such as {first}"),
                        [] => String::new(),
                    },
                    field.least,
                    field.least + 3,
                ));
            }
        }
    }
    Ok(())
}

impl Field {
    const fn numbers(name: &'static str, least: u32, most: u32) -> Self {
        Self {
            name,
            least,
            most,
            names: &[],
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let names = self.names.iter();
        if let Some(at) = names
            .clone()
            .position(|name| name.eq_ignore_ascii_case(text))
        {
            return u32::try_from(at).ok().map(|at| self.least + at);
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = text.parse().ok().filter(|_| digits);
        value.filter(|value| (self.least..=self.most).contains(value))
    }

    /// Whether it is `*`, a value or a range, perhaps with a step.
    fn takes(&self, item: &str) -> bool {
        let (values, step) = match item.split_once('/') {
            Some((values, step)) => (values, Some(step)),
            None => (item, None),
        };
        if let Some(step) = step {
            let number: Option<u32> = step.parse().ok();
            let range = values == "*" || values.contains('-');
            if !range || number.is_none_or(|step| step == 0 || step > self.most) {
                return false;
            }
        }
        if values == "*" {
            return true;
        }
        match values.split_once('-') {
            None => self.value(values).is_some(),
            Some((from, to)) => match (self.value(from), self.value(to)) {
                (Some(from), Some(to)) => from <= to,
                _ => false,
            },
        }
    }
}

/// Values that only the two fields of days take: `?`, `L`, `15W`, `LW`, `FRI#2`, `FRI#L`, `FRIL`.
fn is_special(at: usize, item: &str) -> bool {
    if at != DAY && at != WEEKDAY {
        return false;
    }
    let field = &FIELDS[at];
    let upper = item.to_ascii_uppercase();
    if upper == "?" || upper == "L" {
        return true;
    }
    if at == DAY {
        let day = upper.strip_suffix('W');
        return day.is_some_and(|day| day == "L" || field.value(day).is_some());
    }
    if let Some((day, nth)) = upper.split_once('#') {
        let nth = nth == "L" || nth.parse().is_ok_and(|nth: u32| (1..=5).contains(&nth));
        return nth && field.value(day).is_some();
    }
    let day = upper.strip_suffix('L');
    day.is_some_and(|day| field.value(day).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_mean_something_are_accepted() {
        for pattern in [
            "0 3 * * MON-FRI",
            "*/10 * * * * *",
            "0,30 1-3 * * *",
            "0 9 1 * mon",
            "0 0 L * ?",
            "0 0 15W * *",
            "0 0 LW * *",
            "0 0 * * FRI#2",
            "0 0 * * 5#L",
            "0 0 * JAN,JUL +SUN",
            "10-40/5 * * * *",
            "0 0 * * 7",
            "@daily",
            "@MIDNIGHT",
            " 0 3 * * * ",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        for (pattern, reason) in [
            ("0 0 0 1 1 * 2030", "it has 7 fields"),
            ("* * *", "it has 3 fields"),
            ("", "it has 0 fields"),
            ("MON * * * *", "is no minute"),
            ("0 JAN * * *", "is no hour"),
            ("*/0 * * * *", "is no minute"),
            ("*/99 * * * *", "is no minute"),
            ("5/10 * * * *", "is no minute"),
            ("5- * * * *", "is no minute"),
            ("40-10 * * * *", "is no minute"),
            ("0 0 * * SUNDAY", "is no day of the week"),
            ("0 0 0 * *", "is no day of the month"),
            ("0 0 * FRI *", "is no month"),
            ("0 0 * * FRI#6", "is no day of the week"),
            ("0,,1 * * * *", "is no minute"),
            ("@never", "is no nickname"),
        ] {
            let why = check(pattern).unwrap_err();
            assert!(why.contains(reason), "{pattern}: {why}");
        }
    }
}
