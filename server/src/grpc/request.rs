//! Reading what requests have besides a spec: names, page sizes, filters, intervals.

use std::{ops::RangeInclusive, time::Duration};

use headway_domain::{Error, JobId, JobName, JobUid, PartitionId, PipeName, limits, values::ids};
use uuid::Uuid;

use super::{values::duration, violations::Violations};

/// The shortest time between two states of a watch, unless the client says otherwise.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// The longest such time that a client may ask for.
const MAX_WATCH_INTERVAL: Duration = Duration::from_secs(60);
/// After so long without a message a watch sends a bookmark, unless the client says otherwise.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(15);
/// What a client may say.
const BOOKMARK_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);

/// `partitions/{partition}`.
pub(crate) fn partition(parent: &str) -> Result<PartitionId, Error> {
    ids::parse_parent(parent)
}

/// `partitions/{partition}/jobs/{job}` in this field.
pub(crate) fn job_name(field: &str, name: &str) -> Result<JobName, Error> {
    name.parse().map_err(|error: Error| error.renamed(field))
}

/// The name of a pipe that may have been stored by an earlier version, in this field.
pub(crate) fn stored_pipe(field: &str, name: &str) -> Result<PipeName, Error> {
    PipeName::try_from(name.to_owned()).map_err(|error| error.renamed(field))
}

/// A job's uid in this field; `None` where it is not said.
pub(crate) fn job_uid(field: &str, uid: &str) -> Result<Option<JobUid>, Error> {
    if uid.is_empty() {
        return Ok(None);
    }
    // Before parsing: the library takes other forms too.
    let uid = Some(uid).filter(|uid| uid.len() == 36);
    let uid = uid.and_then(|uid| Uuid::parse_str(uid).ok());
    uid.map(|uid| Some(JobUid(uid)))
        .ok_or_else(|| Error::field(field, "must be a hyphenated UUID"))
}

/// The id a client chose, or a random one that sorts by time.
pub(crate) fn job_id(id: String) -> Result<JobId, Error> {
    if id.is_empty() {
        return JobId::new(Uuid::now_v7().to_string());
    }
    JobId::new(id)
}

/// A request id; empty for none.
pub(crate) fn request_id(id: String) -> Result<String, Error> {
    if id.len() > limits::MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(Error::field(
            "request_id",
            format!(
                "must be at most {} bytes without control characters, and has {}",
                limits::MAX_ID_BYTES,
                id.len()
            ),
        ));
    }
    Ok(id)
}

/// How many entries a page may have.
pub(crate) fn page_size(size: i32) -> Result<u32, Error> {
    page_size_up_to(limits::MAX_PAGE_SIZE, size)
}

/// As [`page_size`], with another bound.
pub(crate) fn page_size_up_to(most: u32, size: i32) -> Result<u32, Error> {
    match u32::try_from(size) {
        Ok(0) => Ok(limits::DEFAULT_PAGE_SIZE.min(most)),
        Ok(size) if size <= most => Ok(size),
        Ok(_) | Err(_) => Err(Error::field(
            "page_size",
            format!("must be 0 to {most}, not {size}"),
        )),
    }
}

/// The fields of an update mask: at least one of these, and no other.
pub(crate) fn mask(
    mask: Option<prost_types::FieldMask>,
    known: &'static [&'static str],
    violations: &mut Violations,
) -> Vec<String> {
    let paths = mask.unwrap_or_default().paths;
    violations.check(!paths.is_empty(), "update_mask", || {
        format!("must name at least one of {}", known.join(", "))
    });
    for path in &paths {
        violations.check(known.contains(&path.as_str()), "update_mask", || {
            format!("must name some of {}, not {path:?}", known.join(", "))
        });
    }
    paths
}

/// The etag that an update or a deletion is based on, in this field; none for any.
pub(crate) fn etag<'a>(field: &str, etag: &'a str) -> Result<Option<&'a str>, Error> {
    if etag.len() > limits::MAX_TOKEN_BYTES {
        return Err(Error::field(
            field,
            format!(
                "must be at most {} bytes, and has {}",
                limits::MAX_TOKEN_BYTES,
                etag.len()
            ),
        ));
    }
    Ok(Some(etag).filter(|etag| !etag.is_empty()))
}

/// The shortest time between two states of a watch.
pub(crate) fn watch_interval(interval: Option<prost_types::Duration>) -> Result<Duration, Error> {
    let Some(interval) = interval else {
        return Ok(WATCH_INTERVAL);
    };
    duration(interval)
        .filter(|interval| *interval <= MAX_WATCH_INTERVAL)
        .ok_or_else(|| Error::field("min_interval", "must be 0 s to 60 s"))
}

/// After how long without a message a watch sends a bookmark.
pub(crate) fn bookmark_interval(
    interval: Option<prost_types::Duration>,
) -> Result<Duration, Error> {
    let Some(interval) = interval else {
        return Ok(BOOKMARK_INTERVAL);
    };
    duration(interval)
        .filter(|interval| BOOKMARK_INTERVALS.contains(interval))
        .ok_or_else(|| Error::field("bookmark_interval", "must be 1 s to 600 s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: Result<impl std::fmt::Debug, Error>) -> (String, String) {
        match result {
            Err(Error::Invalid(list)) => (list[0].field.clone(), list[0].description.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_keep_the_field_they_came_in() {
        let name = format!("partitions/p/jobs/{}", "x".repeat(129));
        assert_eq!(refused(job_name("name", &name)).0, "name");
        assert_eq!(refused(job_name("parent", "jobs/x")).0, "parent");
        assert_eq!(refused(partition("partitions/a/b")).0, "parent");
        let (field, why) = refused(job_id("x".repeat(129)));
        assert_eq!(field, "job_id");
        assert!(why.contains("128") && why.contains("129"), "{why}");
        assert_ne!(job_id(String::new()), job_id(String::new()));
    }

    #[test]
    fn uids_have_one_form() {
        assert_eq!(job_uid("uid", ""), Ok(None));
        let uid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(job_uid("uid", uid).unwrap().unwrap().to_string(), uid);
        for bad in [
            "x",
            "67e5504410b1426f9247bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
        ] {
            assert_eq!(refused(job_uid("job_uid", bad)).0, "job_uid");
        }
    }

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!(page_size(0), Ok(50));
        assert_eq!(page_size(1000), Ok(1000));
        for bad in [-1, 1001, i32::MIN, i32::MAX] {
            let (field, why) = refused(page_size(bad));
            assert_eq!(field, "page_size");
            assert!(why.contains("1000"));
        }
        assert_eq!(page_size_up_to(100, 0), Ok(50));
        assert_eq!(page_size_up_to(100, 100), Ok(100));
        assert!(page_size_up_to(100, 101).is_err());
    }

    #[test]
    fn etags_are_bounded() {
        assert_eq!(etag("etag", ""), Ok(None));
        let longest = "x".repeat(512);
        assert_eq!(etag("etag", &longest), Ok(Some(longest.as_str())));
        let (field, why) = refused(etag("schedule.etag", &"x".repeat(513)));
        assert_eq!(field, "schedule.etag");
        assert!(why.contains("512") && why.contains("513"), "{why}");
    }

    #[test]
    fn masks_name_at_least_one_known_field() {
        let read = |paths: Option<&[&str]>| {
            let mut violations = Violations::default();
            let paths = paths.map(|paths| prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            });
            let paths = mask(paths, &["a", "b.c"], &mut violations);
            violations.finish().map(|()| paths)
        };
        assert_eq!(read(Some(&["b.c"])), Ok(vec!["b.c".to_owned()]));
        for bad in [None, Some(&[] as &[&str]), Some(&["b"]), Some(&["*"])] {
            let (field, why) = refused(read(bad));
            assert_eq!(field, "update_mask");
            assert!(why.contains("a, b.c"), "{why}");
        }
    }

    #[test]
    fn intervals_are_bounded() {
        let of = |seconds, nanos| watch_interval(Some(prost_types::Duration { seconds, nanos }));
        assert_eq!(watch_interval(None), Ok(Duration::from_millis(100)));
        assert_eq!(of(0, 0), Ok(Duration::ZERO));
        assert_eq!(of(60, 0), Ok(Duration::from_secs(60)));
        for (seconds, nanos) in [
            (60, 1),
            (-1, 0),
            (0, -1),
            (1, 1_000_000_000),
            (i64::MAX, 0),
            (-1, -1),
        ] {
            assert_eq!(refused(of(seconds, nanos)).0, "min_interval");
        }
    }

    #[test]
    fn bookmarks_are_bounded() {
        let of = |seconds, nanos| bookmark_interval(Some(prost_types::Duration { seconds, nanos }));
        assert_eq!(bookmark_interval(None), Ok(Duration::from_secs(15)));
        assert_eq!(of(1, 0), Ok(Duration::from_secs(1)));
        assert_eq!(of(600, 0), Ok(Duration::from_secs(600)));
        for (seconds, nanos) in [(0, 999_999_999), (600, 1), (-1, 0), (i64::MAX, 0)] {
            assert_eq!(refused(of(seconds, nanos)).0, "bookmark_interval");
        }
    }
}
