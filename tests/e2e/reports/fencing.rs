//! Reports that do not count: of an old run, attempt or stage, of jobs that are gone, of items that
//! are no more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use headway::{
    v1::JobState,
    wire::{self, item_report::Event},
};
use headway_broker::{Outgoing, Queue};
use headway_domain::JobUid;
use headway_tests::{Deployment, PATIENCE, Record, outcome_counts, range, until};
use headway_worker::{Outcome, Task, TaskError};
use prost::Message;
use uuid::Uuid;

use crate::handlers::quick;

on_both!(reports_of_an_old_run, reports_about_nothing);

/// Sends a report as a worker would, to every shard: a shard is only a way to share work.
async fn report(d: &Deployment, page: wire::PageReport) {
    let message = wire::ReportMessage {
        worker: "late".into(),
        session: Uuid::new_v4().as_bytes().to_vec().into(),
        pages: vec![page],
        heartbeat: false,
        asks_held: false,
        fences: Vec::new(),
    };
    let outgoing = (0..d.store().shards()).map(|shard| Outgoing {
        queue: Queue::Reports(shard),
        body: message.encode_to_vec().into(),
    });
    let sent = d.broker().publish(outgoing.collect()).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
}

/// Waits until all reports are worked off.
async fn reports_are_read(d: &Deployment) {
    for shard in 0..d.store().shards() {
        until("reports to be read", PATIENCE, || async {
            let depth = d.broker().depth(&Queue::Reports(shard)).await.unwrap();
            (depth.ready == 0).then_some(())
        })
        .await;
    }
}

fn events(uid: JobUid, run: u32, attempt: u32, stage: u32) -> Vec<wire::PageReport> {
    let events = [
        Event::Done(wire::Done {}),
        Event::Discarded(wire::Discarded {}),
        Event::Parked(wire::Parked {}),
        Event::Suspect(wire::Suspect {}),
        Event::Leased(wire::Leased {}),
        Event::Failed(wire::Failed {
            retryable: false,
            code: "LATE".into(),
            ..wire::Failed::default()
        }),
        Event::Forward(wire::Forward {
            pipe: "second".into(),
            ..wire::Forward::default()
        }),
    ];
    let page = |event: Event| wire::PageReport {
        job_uid: uid.0.as_bytes().to_vec().into(),
        page: 1,
        run,
        done: Vec::new(),
        items: (0..10)
            .map(|index| wire::ItemReport {
                index,
                attempt,
                stage,
                event: Some(event.clone()),
            })
            .collect(),
    };
    events.into_iter().map(page).collect()
}

async fn reports_of_an_old_run(d: Deployment) {
    let mended = Arc::new(AtomicBool::new(false));
    let switch = mended.clone();
    let worker = d.worker(|worker| {
        worker.handler(move |_task: Task| {
            let broken = !switch.load(Ordering::Relaxed);
            async move {
                match broken {
                    true => Err(TaskError::fatal("NO", "no")),
                    false => Ok(Outcome::done()),
                }
            }
        })
    });
    let name = d.create("old", range(10, 10).build()).await;
    d.finish(&name, JobState::Failed).await;
    worker.stop();
    mended.store(true, Ordering::Relaxed);
    d.client().retry_job(&name).await.unwrap();
    until("the items to be sent again", PATIENCE, || async {
        let progress = d.job(&name).await.progress.unwrap_or_default();
        (progress.items_in_flight == 10).then_some(())
    })
    .await;
    let uid = d.uid(&name).await;
    // Of the first run; of an attempt and a stage that are not; of a run to come.
    for (run, attempt, stage) in [(0, 0, 0), (1, 7, 0), (1, 0, 1), (2, 0, 0)] {
        for page in events(uid, run, attempt, stage) {
            report(&d, page).await;
        }
    }
    // The packed form is always of attempt 0 and stage 0.
    for run in [0, 2] {
        let mut packed = events(uid, run, 0, 0).remove(0);
        packed.items.clear();
        packed.done = (0..10).collect();
        report(&d, packed).await;
    }
    reports_are_read(&d).await;
    let job = d.job(&name).await;
    assert_eq!(
        (job.state(), outcome_counts(&job)),
        (JobState::Active, [10, 0, 0, 0])
    );
    assert_eq!(job.failure_count, 0);
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [10, 10, 0, 0]);
    record.assert_each_once(10);
}

async fn reports_about_nothing(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let name = d.create("done", range(10, 10).build()).await;
    let before = d.finish(&name, JobState::Completed).await;
    let uid = d.uid(&name).await;
    for page in events(uid, 0, 0, 0) {
        report(&d, page).await;
    }
    // A page and items that never were, and a job that nobody knows.
    let mut nowhere = events(uid, 0, 0, 0).remove(0);
    nowhere.page = u32::MAX;
    nowhere.done = vec![0, u32::MAX];
    report(&d, nowhere).await;
    report(&d, events(JobUid(Uuid::new_v4()), 0, 0, 0).remove(0)).await;
    reports_are_read(&d).await;
    let after = d.job(&name).await;
    assert_eq!(after.revision, before.revision, "nothing has changed");
    assert_eq!(outcome_counts(&after), [10, 10, 0, 0]);
    let rows = d.store().rows_of(uid).await.unwrap();
    assert_eq!((rows["item"], rows["failure"]), (0, 0), "{rows:?}");
}
