//! Reading what requests of the audit log have.

use headway_domain::{Error, JobName, PartitionId, events::EventKind};
use headway_store::Position;

use super::view::kind_in;
use crate::grpc::{request, tokens::parse_cursor, violations::Violations};

/// The parent of events that belong to no partition.
const DEPLOYMENT: &str = "deployment";

/// Whose events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventParent {
    /// All of a partition.
    Partition(PartitionId),
    /// Those of a job.
    Job(JobName),
}

impl EventParent {
    /// `deployment`, `partitions/{partition}` or `partitions/{partition}/jobs/{job}`.
    pub(crate) fn read(parent: &str) -> Result<Self, Error> {
        if parent == DEPLOYMENT {
            return Ok(Self::Partition(PartitionId::of_deployment()));
        }
        if parent.matches('/').count() > 1 {
            return request::job_name("parent", parent).map(Self::Job);
        }
        request::partition(parent).map(Self::Partition)
    }

    /// The partition.
    pub(crate) fn partition(&self) -> &PartitionId {
        match self {
            Self::Partition(partition) => partition,
            Self::Job(name) => &name.partition,
        }
    }
}

/// Kinds of events; empty for all.
pub(crate) fn kinds(numbers: &[i32], violations: &mut Violations) -> Vec<EventKind> {
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

/// Where a listing begins: after the page before, or after a cursor.
pub(crate) fn start(cursor: &str, page_token: &str) -> Result<Option<Position>, Error> {
    if page_token.is_empty() {
        return place("after", cursor);
    }
    if !cursor.is_empty() {
        return Err(Error::field("after", "must not be set beside page_token"));
    }
    parse_cursor(page_token).map(Some).ok_or(Error::PageToken)
}

/// Where a stream begins; `None` for now.
pub(crate) fn resume_token(token: &str) -> Result<Option<Position>, Error> {
    place("resume_token", token)
}

/// A place in the audit log; `None` where it is not said.
fn place(field: &str, cursor: &str) -> Result<Option<Position>, Error> {
    if cursor.is_empty() {
        return Ok(None);
    }
    parse_cursor(cursor).map(Some).ok_or_else(|| {
        let why = "is no cursor of the audit log: leave it out to begin anew";
        Error::field(field, why)
    })
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
    fn kinds_and_places() {
        assert_eq!(start("", ""), Ok(None));
        let cursor = crate::grpc::tokens::cursor_text(Position { tx: 7, seq: 9 });
        let place = Position { tx: 7, seq: 9 };
        assert_eq!(start(&cursor, ""), Ok(Some(place)));
        assert_eq!(start("", &cursor), Ok(Some(place)));
        assert!(start(&cursor, &cursor).is_err());
        assert_eq!(start("", "x"), Err(Error::PageToken));
        assert_eq!(resume_token(&cursor), Ok(Some(place)));
        assert_eq!(resume_token(""), Ok(None));
        let Err(Error::Invalid(list)) = resume_token("x") else {
            panic!("no token was taken");
        };
        assert_eq!(list[0].field, "resume_token");
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
