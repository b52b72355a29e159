//! Numbers, times and names as the wire has them.

use std::time::Duration;

use headway_domain::Micros;
use prost_types::{Duration as WireDuration, Timestamp};

/// A time of the wire.
pub(crate) fn timestamp(time: Micros) -> Timestamp {
    Timestamp {
        seconds: time.div_euclid(1_000_000),
        nanos: nanos(time),
    }
}

/// The part of a time below a second, in nanoseconds.
pub(crate) fn nanos(time: Micros) -> i32 {
    narrow(time.rem_euclid(1_000_000) * 1000)
}

/// A length of time of the wire, from milliseconds.
pub(crate) fn millis(time: u64) -> WireDuration {
    WireDuration {
        seconds: int(time / 1000),
        nanos: narrow(time % 1000 * 1_000_000),
    }
}

/// Numbers of the wire are narrower than ours; what is too large, which bounds exclude, is shown as
/// the largest.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn narrow(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// A length of time, unless it is negative or malformed.
pub(crate) fn duration(duration: WireDuration) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanos = u32::try_from(duration.nanos).ok()?;
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}
