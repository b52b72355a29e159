//! Reading what requests of the audit log, the tree of batches and watches of partitions have.

use headway_domain::{Error, JobName, JobUid, PartitionId, event::EventKind};
use headway_store::Position;
use uuid::Uuid;

use super::{convert_explore::kind_in, cursor, request, violations::Violations};

/// Jobs that the listing of a watch may be bound to.
const LISTED: std::ops::RangeInclusive<i32> = 1..=1_000_000;
/// Pipes per page, unless the client says otherwise, and at most.
const PIPES: (u32, u32) = (50, 100);

/// The parent of events that belong to no partition.
const DEPLOYMENT: &str = "deployment";

/// Whose events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EventParent {
    /// All of a partition.
    Partition(PartitionId),
    /// Those of a job.
    Job(JobName),
}

impl EventParent {
    /// `deployment`, `partitions/{partition}` or `partitions/{partition}/jobs/{job}`.
    pub(super) fn read(parent: &str) -> Result<Self, Error> {
        if parent == DEPLOYMENT {
            return Ok(Self::Partition(PartitionId::of_deployment()));
        }
        if parent.matches('/').count() > 1 {
            return request::job_name("parent", parent).map(Self::Job);
        }
        request::partition(parent).map(Self::Partition)
    }

    /// The partition.
    pub(super) fn partition(&self) -> &PartitionId {
        match self {
            Self::Partition(partition) => partition,
            Self::Job(name) => &name.partition,
        }
    }
}

/// A job's uid; `None` where it is not said.
pub(super) fn job_uid(uid: &str) -> Result<Option<JobUid>, Error> {
    if uid.is_empty() {
        return Ok(None);
    }
    // Before parsing: the library takes other forms too.
    let uid = Some(uid).filter(|uid| uid.len() == 36);
    let uid = uid.and_then(|uid| Uuid::parse_str(uid).ok());
    uid.map(|uid| Some(JobUid(uid)))
        .ok_or_else(|| Error::field("job_uid", "must be a hyphenated UUID"))
}

/// Kinds of events; empty for all.
pub(super) fn kinds(numbers: &[i32], violations: &mut Violations) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    for number in numbers {
        match kind_in(*number) {
            Some(kind) if !kinds.contains(&kind) => kinds.push(kind),
            Some(_) => {}
            None => violations.push(
                "kinds",
                format!(
                    "must be kinds of events, 1 to {}, not {number}",
                    EventKind::ALL.len()
                ),
            ),
        }
    }
    kinds
}

/// A place in the audit log; `None` where it is not said.
pub(super) fn after(cursor: &str) -> Result<Option<Position>, Error> {
    if cursor.is_empty() {
        return Ok(None);
    }
    cursor::parse(cursor).map(Some).ok_or_else(|| {
        let why = "is not the cursor of an event or of an answer: leave it out to begin anew";
        Error::field("after", why)
    })
}

/// A batch's parent: a job for its root, or one of its batches.
pub(super) fn batch_parent(parent: &str) -> Result<(JobName, Option<u32>), Error> {
    // The partition and the job, too, may be called `batches`.
    let (job, number) = match parent.rsplit_once("/batches/") {
        Some(parts) if parent.matches('/').count() > 3 => parts,
        _ => return request::job_name("parent", parent).map(|name| (name, None)),
    };
    let name = request::job_name("parent", job)?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|number| plain && *number > 0);
    let why = "must have the form partitions/{partition}/jobs/{job} or partitions/{partition}/jobs/{job}/batches/{number}";
    let number: u32 = number.ok_or_else(|| Error::field("parent", why))?;
    Ok((name, Some(number)))
}

/// How many jobs the listing of a watch has at most.
pub(super) fn max_listed(number: i32) -> Result<u64, Error> {
    match u64::try_from(number) {
        Ok(0) => Ok(u64::MAX),
        Ok(most) if LISTED.contains(&number) => Ok(most),
        Ok(_) | Err(_) => Err(Error::field(
            "max_listed",
            format!("must be 0 to {}, not {number}", LISTED.end()),
        )),
    }
}

/// How many pipes a page may have.
pub(super) fn pipes_page_size(size: i32) -> Result<u32, Error> {
    match u32::try_from(size) {
        Ok(0) => Ok(PIPES.0),
        Ok(size) if size <= PIPES.1 => Ok(size),
        Ok(_) | Err(_) => Err(Error::field(
            "page_size",
            format!("must be 0 to {}, not {size}", PIPES.1),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_of_events() {
        let partition = EventParent::read("partitions/p").unwrap();
        assert_eq!(partition.partition().as_str(), "p");
        let job = EventParent::read("partitions/p/jobs/j").unwrap();
        assert!(matches!(&job, EventParent::Job(name) if name.job.as_str() == "j"));
        assert_eq!(job.partition().as_str(), "p");
        for bad in [
            "",
            "p",
            "partitions/",
            "partitions/p/jobs/",
            "partitions/p/x/j",
            "partitions/p/jobs/j/k",
        ] {
            assert!(EventParent::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parents_of_batches() {
        let job: JobName = "partitions/p/jobs/j".parse().unwrap();
        assert_eq!(batch_parent("partitions/p/jobs/j"), Ok((job.clone(), None)));
        assert_eq!(
            batch_parent("partitions/p/jobs/j/batches/7"),
            Ok((job, Some(7)))
        );
        let odd = "partitions/batches/jobs/batches";
        let job: JobName = odd.parse().unwrap();
        assert_eq!(batch_parent(odd), Ok((job.clone(), None)));
        let batch = format!("{odd}/batches/7");
        assert_eq!(batch_parent(&batch), Ok((job, Some(7))));
        for bad in ["0", "", "-1", "+1", "x", "4294967296", "1/2"] {
            let parent = format!("partitions/p/jobs/j/batches/{bad}");
            assert!(batch_parent(&parent).is_err(), "{bad}");
        }
    }

    #[test]
    fn uids_and_bounds() {
        assert_eq!(job_uid(""), Ok(None));
        let uid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(job_uid(uid).unwrap().unwrap().to_string(), uid);
        for bad in [
            "x",
            "67e5504410b1426f9247bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
        ] {
            assert!(job_uid(bad).is_err(), "{bad}");
        }
        assert_eq!(max_listed(0), Ok(u64::MAX));
        assert_eq!(max_listed(1000), Ok(1000));
        assert!(max_listed(-1).is_err() && max_listed(1_000_001).is_err());
        assert_eq!(pipes_page_size(0), Ok(50));
        assert!(pipes_page_size(101).is_err() && pipes_page_size(-1).is_err());
        let mut violations = Violations::default();
        assert_eq!(
            kinds(&[1, 1, 12], &mut violations),
            [EventKind::Created, EventKind::Deleted]
        );
        assert_eq!(kinds(&[], &mut violations), []);
        kinds(&[0, 99], &mut violations);
        let Err(Error::Invalid(list)) = violations.finish() else {
            panic!("unknown kinds were taken");
        };
        assert_eq!(list.len(), 2);
    }
}
