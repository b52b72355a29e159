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
    /// Whatever the zone and the day: a time of the day comes exactly once a day, in order, and
    /// is there or follows a skip.
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
