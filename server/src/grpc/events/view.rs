//! Events as the wire has them.

use headway::v1;
use headway_domain::{JobName, events::EventKind};
use headway_store::EventRow;

use crate::grpc::{
    jobs::{batch_name, view::state},
    tokens::cursor_text,
    values::{int, narrow, timestamp},
};

/// An event of the audit log.
pub(crate) fn event(row: &EventRow) -> v1::AuditEvent {
    v1::AuditEvent {
        cursor: cursor_text(row.position),
        event_time: Some(timestamp(row.recorded)),
        job: job(row).map(JobName::to_string).unwrap_or_default(),
        job_uid: job(row).map(|_| row.uid.to_string()).unwrap_or_default(),
        kind: kind(row.kind).into(),
        state: row.state.map(state).unwrap_or_default().into(),
        revision: row.revision,
        run: narrow(row.run),
        done_by: row.actor.clone(),
        correlation_id: row.correlation.clone(),
        message: row.message.clone(),
        batch: row
            .batch
            .and_then(|number| job(row).map(|job| batch_name(job, number)))
            .unwrap_or_default(),
        item_count: int(row.items),
        subject: row.subject.clone(),
    }
}

fn job(row: &EventRow) -> Option<&JobName> {
    row.name.as_ref()
}

fn kind(kind: EventKind) -> v1::EventKind {
    match kind {
        EventKind::Created => v1::EventKind::JobCreated,
        EventKind::Started => v1::EventKind::JobStarted,
        EventKind::Paused => v1::EventKind::JobPaused,
        EventKind::Resumed => v1::EventKind::JobResumed,
        EventKind::Cancelled => v1::EventKind::JobCancelled,
        EventKind::Retried => v1::EventKind::JobRetried,
        EventKind::BatchSplit => v1::EventKind::JobBatchSplit,
        EventKind::FailureRecorded => v1::EventKind::JobFailureRecorded,
        EventKind::Completed => v1::EventKind::JobCompleted,
        EventKind::Failed => v1::EventKind::JobFailed,
        EventKind::Settled => v1::EventKind::JobSettled,
        EventKind::Deleted => v1::EventKind::JobDeleted,
        EventKind::Updated => v1::EventKind::JobUpdated,
        EventKind::ScheduleCreated => v1::EventKind::ScheduleCreated,
        EventKind::ScheduleUpdated => v1::EventKind::ScheduleUpdated,
        EventKind::SchedulePaused => v1::EventKind::SchedulePaused,
        EventKind::ScheduleResumed => v1::EventKind::ScheduleResumed,
        EventKind::ScheduleDeleted => v1::EventKind::ScheduleDeleted,
        EventKind::PartitionUpdated => v1::EventKind::PartitionUpdated,
        EventKind::PartitionSuspended => v1::EventKind::PartitionSuspended,
        EventKind::PartitionResumed => v1::EventKind::PartitionResumed,
        EventKind::DeadLettersDropped => v1::EventKind::DeadLettersDropped,
        EventKind::PipeLimitsUpdated => v1::EventKind::PipeLimitsUpdated,
        EventKind::JobTypeCreated => v1::EventKind::JobTypeCreated,
        EventKind::JobTypeUpdated => v1::EventKind::JobTypeUpdated,
        EventKind::JobTypeDeleted => v1::EventKind::JobTypeDeleted,
    }
}

/// The kind of event that a number of the wire stands for.
pub(crate) fn kind_in(number: i32) -> Option<EventKind> {
    EventKind::ALL
        .into_iter()
        .find(|ours| i32::from(kind(*ours)) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_back_and_unknown_ones_are_none() {
        for ours in EventKind::ALL {
            assert_eq!(kind_in(kind(ours).into()), Some(ours));
            let wire = kind(ours).as_str_name();
            assert_eq!(wire, format!("EVENT_KIND_{ours}"));
        }
        for number in [0, -1, 27, i32::MAX] {
            assert_eq!(kind_in(number), None);
        }
    }
}
