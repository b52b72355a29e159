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

use crate::{
    Micros, cron,
    error::{Error, FieldViolation},
};

/// Bytes of a cron pattern.
pub const CRON_BYTES: usize = 256;
/// A pattern that names no time after this one never does: each pattern repeats within the years of a leap day.
const ANY_TIME: Micros = 1_600_000_000_000_000;
/// The most that a clock was ever put forward: Samoa left out a day in 2011.
const LONGEST_SKIP_MINUTES: i64 = 24 * 60;

/// When jobs are made.
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
    /// Reads what a client sent: a pattern of five fields, or six with seconds before them, or a nickname such as `@daily`; an empty
    /// zone is UTC. A pattern that names no time at all is refused.
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
        // The zone is told of with the pattern where both are wrong.
        if cron.len() <= CRON_BYTES
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
        let pattern = match cron.len() <= CRON_BYTES {
            true => parser.parse(cron).map_err(|error| error.to_string()),
            false => Err(format!("it has more than {CRON_BYTES} bytes")),
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

    /// The first time after this one; none if the pattern names no more.
    ///
    /// A pattern whose second, minute and hour are numbers, lists or ranges names times of the day: one that a clock skips when it is
    /// put forward comes as soon as the clock goes on, and one that comes twice when it is put back counts once. Any other pattern
    /// says how often: what is skipped is left out, and what comes twice counts twice. So do it cron(8) of Vixie and its successors.
    pub fn next_after(&self, time: Micros) -> Option<Micros> {
        let time = Timestamp::from_microsecond(time).ok()?;
        let shown = time.to_zoned_datetime(self.zone.clone());
        if !self.daily {
            let next = self.next_of_pattern(shown)?;
            return Some(next.timestamp().as_microsecond());
        }
        // What the clock on the wall shows next, as if it was never moved.
        let mut wall = shown.datetime().to_zoned_datetime(TimeZone::UTC).ok()?;
        loop {
            wall = self.next_of_pattern(wall)?;
            let next = self.first_instant(wall.datetime())?;
            // When the clock was put back, what it shows may have been dealt with.
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

    /// When a clock of the zone first shows a time, or passes it.
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

/// The zone of this name, as it is spelled; an empty name is UTC. The zones are built in, so that they are the same on every machine.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Micros {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let next = Timetable::new(cron, zone)
            .unwrap()
            .next_after(at(after))
            .unwrap();
        let next = Timestamp::from_microsecond(next).unwrap();
        next.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
    }

    #[test]
    fn times_are_those_of_the_zone() {
        assert_eq!(
            next("0 3 * * *", "", "2026-01-01T03:00:00Z"),
            "2026-01-02T03:00:00+00:00"
        );
        // Winter and summer in Berlin.
        assert_eq!(
            next("0 3 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z"),
            "2026-01-01T02:00:00+00:00"
        );
        assert_eq!(
            next("0 3 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z"),
            "2026-07-01T01:00:00+00:00"
        );
        assert_eq!(
            next("*/10 * * * * *", "", "2026-01-01T00:00:01Z"),
            "2026-01-01T00:00:10+00:00"
        );
        assert_eq!(
            next("@daily", "", "2026-01-01T00:00:01Z"),
            "2026-01-02T00:00:00+00:00"
        );
        assert_eq!(
            next(
                "0 9 * * MON-FRI",
                "America/New_York",
                "2026-11-27T15:00:00Z"
            ),
            "2026-11-30T14:00:00+00:00"
        );
    }

    #[test]
    fn a_clock_that_is_put_forward_skips_no_day() {
        // On 29 March 2026 two o'clock is three o'clock in Berlin: half past two is not there.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"),
            "2026-03-29T01:00:00+00:00"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"),
            "2026-03-30T00:30:00+00:00"
        );
    }

    #[test]
    fn a_clock_that_is_put_back_doubles_no_job() {
        // On 25 October 2026 half past two comes twice in Berlin.
        let first = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
        assert_eq!(first, "2026-10-25T00:30:00+00:00");
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", &first),
            "2026-10-26T01:30:00+00:00"
        );
    }

    #[test]
    fn bad_patterns_and_zones_are_named() {
        let fields = |cron: &str, zone: &str| match Timetable::new(cron, zone) {
            Err(Error::Invalid(list)) => list.into_iter().map(|one| one.field).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(fields("soon", ""), ["schedule.cron"]);
        assert_eq!(fields("61 * * * *", ""), ["schedule.cron"]);
        // The parser takes these, but not for what they seem to say.
        for odd in ["0 0 0 1 1 * 2090", "*/99 * * * *"] {
            assert_eq!(fields(odd, ""), ["schedule.cron"], "{odd}");
        }
        assert_eq!(
            fields("", "Mars/Olympus"),
            ["schedule.time_zone", "schedule.cron"]
        );
        assert_eq!(fields(&"1,".repeat(200), ""), ["schedule.cron"]);
    }

    #[test]
    fn a_pattern_that_never_comes_is_told() {
        for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            let Err(Error::Invalid(list)) = Timetable::new(cron, "") else {
                panic!("{cron} is accepted")
            };
            assert!(
                list[0].description.contains("names no time"),
                "{}",
                list[0].description
            );
        }
        assert!(Timetable::new("0 0 29 2 *", "").is_ok());
    }

    #[test]
    fn midnight_is_kept_as_what_every_version_reads() {
        let midnight = Timetable::new("@midnight", "Europe/Berlin").unwrap();
        assert_eq!(midnight.cron, "@daily");
    }

    #[test]
    fn what_was_accepted_before_can_still_be_read() {
        assert!(Timetable::stored("0 0 0 1 1 * 2090", "").is_ok());
        assert!(Timetable::stored("0 0 30 2 *", "").is_ok());
    }

    /// The times from one to another, as the clock of the zone shows them.
    fn shown(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let timetable = Timetable::new(cron, zone).unwrap();
        let mut times = Vec::new();
        let mut time = at(from) - 1;
        while let Some(next) = timetable.next_after(time).filter(|next| *next < at(to)) {
            assert!(next > time);
            time = next;
            let shown = Timestamp::from_microsecond(time).unwrap();
            let shown = shown.to_zoned_datetime(timetable.zone.clone());
            times.push(shown.strftime("%d %H:%M").to_string());
        }
        times
    }

    #[test]
    fn each_time_of_a_list_or_range_comes_once_a_day() {
        let berlin = |cron, from, to| shown(cron, "Europe/Berlin", from, to);
        let (march, april) = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        assert_eq!(
            berlin("0 2,14 * * *", march, april),
            ["29 03:00", "29 14:00"]
        );
        assert_eq!(
            berlin("0,30 1-3 * * *", march, april),
            // Half past two falls together with two o'clock and three.
            ["29 01:00", "29 01:30", "29 03:00", "29 03:30"]
        );
        let (october, november) = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        assert_eq!(
            berlin("0 2,14 * * *", october, november),
            ["25 02:00", "25 14:00"]
        );
        assert_eq!(
            berlin("0,30 1-3 * * *", october, november),
            [
                "25 01:00", "25 01:30", "25 02:00", "25 02:30", "25 03:00", "25 03:30"
            ]
        );
        assert_eq!(
            shown(
                "@daily",
                "Pacific/Apia",
                "2011-12-29T00:00:00Z",
                "2012-01-01T00:00:00Z"
            ),
            // The 30th of December was left out.
            ["29 00:00", "31 00:00", "01 00:00"]
        );
    }

    #[test]
    fn what_says_how_often_follows_the_hours_that_there_are() {
        let hours = |from, to| shown("0 * * * *", "Europe/Berlin", from, to).len();
        assert_eq!(hours("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 23);
        assert_eq!(hours("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 25);
        let at_two = |from, to| shown("*/30 2 * * *", "Europe/Berlin", from, to).len();
        assert_eq!(at_two("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 0);
        assert_eq!(at_two("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 4);
        let hourly = shown(
            "@hourly",
            "Europe/Berlin",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        );
        assert_eq!(hourly.len(), 25);
    }

    #[test]
    fn a_day_or_a_weekday_is_enough_where_both_are_said() {
        let times = shown(
            "0 9 1 * MON",
            "",
            "2026-06-01T00:00:00Z",
            "2026-07-02T00:00:00Z",
        );
        assert_eq!(
            times,
            [
                "01 09:00", "08 09:00", "15 09:00", "22 09:00", "29 09:00", "01 09:00"
            ]
        );
    }

    proptest! {
        /// Whatever the zone and the day: a time of the day comes exactly once a day, in order, and is there or follows a skip.
        #[test]
        fn times_of_the_day_come_daily(
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo", "UTC"]),
            hour in 0i8..24,
            minute in 0i8..60,
            begin in 0i64..3_000,
        ) {
            let timetable = Timetable::new(&format!("{minute} {hour} * * *"), zone).unwrap();
            let mut time = at("2024-01-01T00:00:00Z") + begin * 86_400_000_000;
            time = timetable.next_after(time).unwrap();
            for _ in 0..400 {
                let next = timetable.next_after(time).unwrap();
                let shown = |time| Timestamp::from_microsecond(time).unwrap().to_zoned_datetime(timetable.zone.clone());
                let (before, after) = (shown(time), shown(next));
                let day = before.date().tomorrow().unwrap();
                prop_assert_eq!(after.date(), day);
                let wanted = timetable.zone.to_ambiguous_zoned_datetime(day.at(hour, minute, 0, 0));
                match wanted.offset() {
                    AmbiguousOffset::Gap { .. } => prop_assert!(after.datetime() > wanted.datetime()),
                    _ => prop_assert_eq!(after, wanted.earlier().unwrap()),
                }
                time = next;
            }
        }
    }
}
