//! Events, batches, pipes and samples as the wire has them.

use headway::v1;
use headway_domain::{JobName, PartitionId, event::EventKind};
use headway_splitters::title;
use headway_store::{BatchView, EventRow, PipeLimitView, PipeView, Sample};

use super::{
    convert_out::{int, narrow, state, timestamp},
    cursor::cursor_text,
};

/// An event of the audit log.
pub(super) fn event(row: &EventRow) -> v1::Event {
    v1::Event {
        cursor: cursor_text(row.position),
        time: Some(timestamp(row.recorded)),
        job: job(row).map(JobName::to_string).unwrap_or_default(),
        job_uid: job(row).map(|_| row.uid.to_string()).unwrap_or_default(),
        kind: kind(row.kind).into(),
        state: row.state.map(state).unwrap_or_default().into(),
        revision: row.revision,
        run: narrow(row.run),
        actor: row.actor.clone(),
        correlation_id: row.correlation.clone(),
        message: row.message.clone(),
        batch: row
            .batch
            .and_then(|number| job(row).map(|job| batch_name(job, number)))
            .unwrap_or_default(),
        items: int(row.items),
        subject: row.subject.clone(),
    }
}

fn job(row: &EventRow) -> Option<&JobName> {
    row.name.as_ref()
}

fn kind(kind: EventKind) -> v1::EventKind {
    match kind {
        EventKind::Created => v1::EventKind::Created,
        EventKind::Started => v1::EventKind::Started,
        EventKind::Paused => v1::EventKind::Paused,
        EventKind::Resumed => v1::EventKind::Resumed,
        EventKind::Cancelled => v1::EventKind::Cancelled,
        EventKind::Retried => v1::EventKind::Retried,
        EventKind::BatchSplit => v1::EventKind::BatchSplit,
        EventKind::FailureRecorded => v1::EventKind::FailureRecorded,
        EventKind::Completed => v1::EventKind::Completed,
        EventKind::Failed => v1::EventKind::Failed,
        EventKind::Settled => v1::EventKind::Settled,
        EventKind::Deleted => v1::EventKind::Deleted,
        EventKind::Updated => v1::EventKind::Updated,
        EventKind::ScheduleCreated => v1::EventKind::ScheduleCreated,
        EventKind::ScheduleUpdated => v1::EventKind::ScheduleUpdated,
        EventKind::SchedulePaused => v1::EventKind::SchedulePaused,
        EventKind::ScheduleResumed => v1::EventKind::ScheduleResumed,
        EventKind::ScheduleDeleted => v1::EventKind::ScheduleDeleted,
        EventKind::PartitionUpdated => v1::EventKind::PartitionUpdated,
        EventKind::PartitionSuspended => v1::EventKind::PartitionSuspended,
        EventKind::PartitionResumed => v1::EventKind::PartitionResumed,
        EventKind::DeadLettersDropped => v1::EventKind::DeadLettersDropped,
        EventKind::PipeLimitsSet => v1::EventKind::PipeLimitsSet,
        EventKind::JobTypeCreated => v1::EventKind::JobTypeCreated,
        EventKind::JobTypeUpdated => v1::EventKind::JobTypeUpdated,
        EventKind::JobTypeDeleted => v1::EventKind::JobTypeDeleted,
    }
}

/// The kind of event that a number of the wire stands for.
pub(super) fn kind_in(number: i32) -> Option<EventKind> {
    EventKind::ALL
        .into_iter()
        .find(|ours| i32::from(kind(*ours)) == number)
}

fn batch_name(job: &JobName, number: u32) -> String {
    format!("{job}/batches/{number}")
}

/// A batch of a job.
pub(super) fn batch(job: &JobName, view: &BatchView) -> v1::BatchStatus {
    v1::BatchStatus {
        name: batch_name(job, view.number),
        parent: view
            .parent
            .map(|number| batch_name(job, number))
            .unwrap_or_default(),
        depth: narrow(view.depth),
        state: batch_state(view).into(),
        title: title(&view.definition),
        items_known: int(view.known),
        items_done: int(view.done),
        items_failed: int(view.failed),
        items_discarded: int(view.discarded),
        batches: int(view.batches),
        total_final: view.total_final,
        split_failures: int(view.split_failures),
    }
}

fn batch_state(view: &BatchView) -> v1::BatchState {
    let spoilt = view.failed + view.discarded + view.split_failures > 0;
    match view.open {
        _ if view.finished => v1::BatchState::Done,
        1.. if view.ended => v1::BatchState::Incomplete,
        1.. if view.waiting => v1::BatchState::Waiting,
        1.. => v1::BatchState::Active,
        0 if spoilt => v1::BatchState::Incomplete,
        0 => v1::BatchState::Done,
    }
}

/// How far a job was at a time.
pub(super) fn sample(sample: &Sample) -> v1::ProgressSample {
    v1::ProgressSample {
        time: Some(timestamp(sample.time)),
        items_done: int(sample.done),
        items_failed: int(sample.failed),
        items_in_flight: int(sample.in_flight),
        items_known: int(sample.known),
        run: narrow(sample.run),
    }
}

/// The limits of a pipe.
pub(super) fn limits_out(view: &PipeLimitView) -> v1::PipeLimits {
    v1::PipeLimits {
        pipe: format!("pipes/{}", view.pipe),
        max_in_flight: narrow(view.limits.in_flight.unwrap_or(0)),
        max_per_second: view.limits.per_second.unwrap_or(0.0),
    }
}

/// A pipe, how full it is if the broker answered, and its limits.
pub(super) fn pipe(
    partition: &PartitionId,
    view: &PipeView,
    depth: Option<headway_broker::Depth>,
    limits: Option<&PipeLimitView>,
) -> v1::Pipe {
    let known = depth.unwrap_or_default();
    v1::Pipe {
        name: format!("partitions/{partition}/pipes/{}", view.pipe),
        messages_ready: int(known.ready),
        consumers: int(known.consumers),
        // The rate of a pipe at rest is remembered for a while, to judge what it will drain.
        items_per_second: if view.in_flight > 0 || known.ready > 0 {
            view.rate
        } else {
            0.0
        },
        items_in_flight: int(view.in_flight),
        items_parked: int(view.parked),
        items_delayed: int(view.delayed),
        jobs: int(view.jobs),
        dead_letters: int(view.dead_letters),
        reachable: depth.is_some(),
        limits: limits.map(limits_out),
    }
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

    #[test]
    fn states_of_batches() {
        let view = |open, failed, waiting| BatchView {
            number: 2,
            parent: Some(1),
            depth: 1,
            finished: false,
            definition: Vec::new(),
            known: 0,
            done: 0,
            failed,
            discarded: 0,
            batches: 0,
            total_final: true,
            split_failures: 0,
            waiting,
            open,
            ended: false,
        };
        assert_eq!(batch_state(&view(1, 0, true)), v1::BatchState::Waiting);
        assert_eq!(batch_state(&view(3, 1, false)), v1::BatchState::Active);
        assert_eq!(batch_state(&view(0, 1, false)), v1::BatchState::Incomplete);
        assert_eq!(batch_state(&view(0, 0, false)), v1::BatchState::Done);
        let cancelled = BatchView {
            ended: true,
            ..view(3, 0, true)
        };
        assert_eq!(batch_state(&cancelled), v1::BatchState::Incomplete);
        let kept = BatchView {
            finished: true,
            ..view(0, 0, false)
        };
        assert_eq!(batch_state(&kept), v1::BatchState::Done);
    }
}
