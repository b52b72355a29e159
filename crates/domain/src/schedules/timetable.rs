//! Times of a cron pattern in a time zone.

use std::cmp::Ordering;

use croner::{
    CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday,
    errors::CronError,
    parser::{CronParser, Seconds},
};
use jiff::{
    SignedDuration, Timestamp, ZonedDateTime,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::cron;
use crate::{
    error::{Error, FieldViolation},
    values::time::Micros,
};

/// Bytes of a cron pattern.
pub const MAX_CRON_BYTES: usize = 256;
/// Every pattern repeats within the years between two leap days, so a pattern without a time after
/// this one has none at all.
const ANY_TIME: Micros = 1_600_000_000_000_000;
/// The longest step forward that a clock ever made: Samoa skipped a day in 2011.
const LONGEST_SKIP_MINUTES: i64 = 24 * 60;

/// The times at which a schedule creates jobs.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// The cron pattern, as it was written.
    pub cron: String,
    /// The name of the time zone.
    pub time_zone: String,
    pattern: Cron,
    zone: TimeZone,
    /// Whether the pattern names times of the day, and not how often it recurs.
    daily: bool,
}

impl PartialEq for Timetable {
    fn eq(&self, other: &Self) -> bool {
        (&self.cron, &self.time_zone) == (&other.cron, &other.time_zone)
    }
}

impl Timetable {
    /// Reads a pattern from a client: five fields, six with seconds first, or a nickname such as
    /// `@daily`. An empty zone means UTC. Refuses a pattern without any time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `schedule.cron` or `schedule.time_zone`.
    pub fn new(cron: &str, time_zone: &str) -> Result<Self, Error> {
        let refuse = |why: String| {
            Error::field(
                "schedule.cron",
                format!("must be a cron pattern such as \"0 3 * * MON-FRI\": {why}"),
            )
        };
        // Where both are wrong, the error names the zone as well.
        if cron.len() <= MAX_CRON_BYTES
            && let Err(why) = cron::check(cron)
        {
            let mut error = refuse(why);
            if let (Error::Invalid(list), Err(Error::Invalid(more))) =
                (&mut error, Self::stored("@daily", time_zone))
            {
                list.splice(0..0, more);
            }
            return Err(error);
        }
        let timetable = Self::stored(cron::normal(cron), time_zone)?;
        match timetable.next_after(ANY_TIME) {
            Some(_) => Ok(timetable),
            None => Err(refuse(
                "it names no time at all, such as the 30th of February".to_owned(),
            )),
        }
    }

    /// Reads a pattern that was accepted by this or an earlier version.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `schedule.cron` or `schedule.time_zone`.
    pub fn stored(cron: &str, time_zone: &str) -> Result<Self, Error> {
        let mut wrong = Vec::new();
        let mut refuse = |field: &str, description: String| {
            wrong.push(FieldViolation {
                field: format!("schedule.{field}"),
                description,
            });
        };
        let zone = zone(time_zone);
        if zone.is_none() {
            refuse(
                "time_zone",
                format!(
                    "must be a name of the IANA database such as Europe/Berlin, not {time_zone:?}"
                ),
            );
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let pattern = match cron.len() <= MAX_CRON_BYTES {
            true => parser.parse(cron).map_err(|error| error.to_string()),
            false => Err(format!("it has more than {MAX_CRON_BYTES} bytes")),
        };
        if let Err(why) = &pattern {
            refuse(
                "cron",
                format!("must be a cron pattern such as \"0 3 * * MON-FRI\": {why}"),
            );
        }
        match (pattern, zone) {
            (Ok(pattern), Some(zone)) => Ok(Self {
                cron: cron.to_owned(),
                time_zone: zone.iana_name().unwrap_or(time_zone).to_owned(),
                pattern,
                zone,
                daily: names_times_of_the_day(cron),
            }),
            _ => Err(Error::Invalid(wrong)),
        }
    }

    /// The first time after this one; none if the pattern has no more.
    ///
    /// A pattern whose second, minute and hour are numbers, lists or ranges names times of the day.
    /// If the clock skips such a time when it goes forward, the time comes right after the skip. If
    /// the time comes twice when the clock goes back, it counts once. Any other pattern says how
    /// often: skipped times are left out, and times that come twice count twice. Vixie's cron(8)
    /// and its successors do the same.
    pub fn next_after(&self, time: Micros) -> Option<Micros> {
        let time = Timestamp::from_microsecond(time).ok()?;
        let shown = time.to_zoned_datetime(self.zone.clone());
        if !self.daily {
            let next = self.next_of_pattern(shown)?;
            return Some(next.timestamp().as_microsecond());
        }
        // The next time on a wall clock that never changes.
        let mut wall = shown.datetime().to_zoned_datetime(TimeZone::UTC).ok()?;
        loop {
            wall = self.next_of_pattern(wall)?;
            let next = self.first_instant(wall.datetime())?;
            // After the clock went back, this time may be handled already.
            if next > time {
                return Some(next.as_microsecond());
            }
        }
    }

    /// The next time of the pattern in the zone of this time.
    fn next_of_pattern(&self, time: ZonedDateTime) -> Option<ZonedDateTime> {
        let next = self.pattern.find_next_occurrence(&Moment(time), false);
        next.ok().map(|Moment(next)| next)
    }

    /// The first instant at which a clock of the zone shows this time or a later one.
    fn first_instant(&self, wall: DateTime) -> Option<Timestamp> {
        if let Some(instant) = self.earliest(wall) {
            return Some(instant);
        }
        let begin = wall.checked_sub(SignedDuration::from_secs(wall.second().into()));
        let begin = begin.ok()?;
        let minutes = (1..=LONGEST_SKIP_MINUTES).map(SignedDuration::from_mins);
        let mut shown = minutes.filter_map(|more| self.earliest(begin.checked_add(more).ok()?));
        shown.next()
    }

    /// When a clock of the zone first shows a time; none if it is skipped.
    fn earliest(&self, wall: DateTime) -> Option<Timestamp> {
        let instant = self.zone.to_ambiguous_timestamp(wall);
        match instant.offset() {
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                instant.earlier().ok()
            }
        }
    }
}

/// The zone of this name, as it is spelled; an empty name is UTC. The zones are built in, so that
/// they are the same on every machine.
fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() {
        return Some(TimeZone::UTC);
    }
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

/// A time as the cron library sees it.
#[derive(Clone)]
struct Moment(ZonedDateTime);

// The parts of a date and a time are small and never negative, but for the year.
#[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)]
impl CronDateTime for Moment {
    fn to_civil(&self) -> CivilDateTime {
        let shown = self.0.datetime();
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                shown.year().into(),
                shown.month() as u32,
                shown.day() as u32,
            ),
            CivilTime::from_parts_unchecked(
                shown.hour() as u32,
                shown.minute() as u32,
                shown.second() as u32,
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(self.0.weekday().to_sunday_zero_offset() as u32)
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let wall = DateTime::new(
            year,
            civil.month() as i8,
            civil.day() as i8,
            civil.hour() as i8,
            civil.minute() as i8,
            civil.second() as i8,
            0,
        );
        let wall = wall.map_err(|_| CronError::InvalidDate)?;
        let instant = self.0.time_zone().to_ambiguous_zoned_datetime(wall);
        let moment = |instant: Result<ZonedDateTime, jiff::Error>| {
            instant.map(Self).map_err(|_| CronError::InvalidTime)
        };
        Ok(match instant.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(moment(instant.earlier())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(moment(instant.clone().earlier())?, moment(instant.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let later = self.0.checked_add(SignedDuration::from_secs(seconds));
        later.ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn names_times_of_the_day(cron: &str) -> bool {
    if let Some(nickname) = cron.trim().strip_prefix('@') {
        return !nickname.eq_ignore_ascii_case("hourly");
    }
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let of_the_day = fields.len().saturating_sub(3);
    fields
        .iter()
        .take(of_the_day)
        .all(|field| !field.contains(['*', '?']))
}

#[cfg(test)]
mod tests;
