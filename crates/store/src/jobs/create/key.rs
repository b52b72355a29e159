//! Keys of jobs.

use headway_domain::Micros;

use crate::ground::numbers::random_id;

/// Keys rise with the time of creation, to the microsecond, so that the newest jobs stand together
/// and are listed by the time that is shown; the rest is random. Until this time, in milliseconds
/// (the beginning of 2030), a millisecond has [`EARLY_BITS`] bits, as in all versions: older ones
/// may run beside this one. After it a millisecond has [`LATE_BITS`] bits, which last until 2184.
const LATE: i64 = 1_893_456_000_000;

/// Bits of a key below the millisecond before [`LATE`]: 10 for the microsecond, 12 random ones.
const EARLY_BITS: u32 = 22;

/// Bits of a key below the millisecond after [`LATE`]: 10 for the microsecond, 8 random ones.
const LATE_BITS: u32 = 18;

/// Bits of a key for the microsecond within its millisecond.
const MICROS_BITS: u32 = 10;

pub(crate) fn new_key(now: Micros) -> i64 {
    key_of(now, random_id())
}

pub(crate) fn key_of(now: Micros, random: i64) -> i64 {
    let (millis, micros) = (now.max(0) / 1000, now.max(0) % 1000);
    let (base, millis, bits) = match millis < LATE {
        true => (0, millis, EARLY_BITS),
        false => (LATE << EARLY_BITS, millis - LATE, LATE_BITS),
    };
    let random_bits = bits - MICROS_BITS;
    let below = micros << random_bits | random & ((1 << random_bits) - 1);
    // In 2184 keys reach their end; the last one is better than one that begins again below all
    // others.
    let above = millis.checked_mul(1 << bits);
    let key = above.and_then(|above| above.checked_add(base)?.checked_add(below));
    key.unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a year, in microseconds.
    fn year(year: i64) -> Micros {
        let days = (1970..year).map(|year| {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            365 + i64::from(leap)
        });
        days.sum::<i64>() * 86_400_000_000
    }

    #[test]
    fn keys_rise_with_time_for_a_hundred_years_and_more() {
        let september_2039 = year(2039) + 250 * 86_400_000_000;
        let mut times = vec![
            year(2026),
            year(2030) - 1,
            year(2030),
            year(2030) + 1,
            september_2039,
            september_2039 + 1,
            year(2040),
            year(2100),
            year(2100) + 1,
            year(2184),
        ];
        times.dedup();
        for pair in times.windows(2) {
            let last = key_of(pair[0], i64::MAX);
            let next = key_of(pair[1], 0);
            assert!(0 < last && last < next, "{pair:?}: {last} {next}");
        }
        assert!(key_of(year(2184), i64::MAX) < i64::MAX);
    }

    #[test]
    fn keys_are_those_of_older_versions_to_the_millisecond() {
        for time in [year(2026), year(2029)] {
            assert_eq!(key_of(time, 0), (time / 1000) << 22);
            assert!(key_of(time + 999, i64::MAX) < (time / 1000 + 1) << 22);
        }
    }
}
