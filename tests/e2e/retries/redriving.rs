//! Running some of what failed again while the job goes on.

use headway::v1::{
    EventKind, FailureFilter, JobState, ListDeadLettersRequest, ListEventsRequest, RetryJobRequest,
};
use headway_broker::Queue;
use headway_cli::ExitStatus;
use headway_client::{Code, JobName};
use headway_tests::{Deployment, PATIENCE, WORK, outcome_counts, range, until};
use headway_worker::{Outcome, Task, TaskError};
use tokio::sync::watch;

use crate::{clients::command_line::headway, handlers::number, retries::failures::kill_messages};

on_both!(
    what_failed_runs_again_while_the_rest_goes_on,
    again_and_again_within_the_window,
    a_paused_job_waits_with_it,
    dead_letters_are_sent_again_while_the_job_runs,
);

fn retry(name: &JobName, codes: &[&str]) -> RetryJobRequest {
    RetryJobRequest {
        name: name.to_string(),
        failure_filter: Some(FailureFilter {
            codes: codes.iter().map(|code| (*code).to_owned()).collect(),
            ..FailureFilter::default()
        }),
        ..RetryJobRequest::default()
    }
}

/// Below this each third item waits until it is let go.
const HELD: u32 = 30;

/// What a worker does: of three items the first fails with A and the second with B until that is
/// healed.
#[derive(Clone, Copy, Default)]
struct Mood {
    healed: bool,
    open: bool,
}

/// The worker's mood, and how many items wait at it.
fn moody(d: &Deployment) -> (watch::Sender<Mood>, watch::Receiver<usize>) {
    let (mood, seen) = watch::channel(Mood::default());
    let (wait, waiting) = watch::channel(0);
    d.worker(|worker| {
        worker.concurrency(64).handler(move |task: Task| {
            let (mut seen, wait) = (seen.clone(), wait.clone());
            async move {
                let healed = seen.borrow().healed;
                let number = number(&task)?;
                match number % 3 {
                    0 if !healed => return Err(TaskError::fatal("A", "first kind")),
                    1 if !healed => return Err(TaskError::fatal("B", "second kind")),
                    2 if number < HELD => {
                        wait.send_modify(|items| *items += 1);
                        drop(seen.wait_for(|mood| mood.open).await);
                    }
                    _ => {}
                }
                Ok(Outcome::done())
            }
        })
    });
    (mood, waiting)
}

async fn what_failed_runs_again_while_the_rest_goes_on(d: Deployment) {
    let (mood, _) = moody(&d);
    let client = d.client();
    let name = d.create("thirds", range(30, 7).build()).await;
    let failed = |wanted: i64| {
        move |job: &headway::v1::Job| {
            outcome_counts(job)[2] == wanted && job.failure_count == wanted
        }
    };
    d.watch_until(&name, "20 have failed", failed(20)).await;

    // All of it is retried once it has ended; some of it, only if there is some.
    let all = client.retry_job(&name).await.unwrap_err();
    assert_eq!(all.reason(), Some("ILLEGAL_TRANSITION"));
    assert_eq!(all.precondition_violations().len(), 1);
    assert!(all.to_string().contains("a filter says which"), "{all}");
    let none = client
        .retry_failures(retry(&name, &["C"]))
        .await
        .unwrap_err();
    assert_eq!(none.code(), Code::FailedPrecondition);
    assert_eq!(none.reason(), Some("NOTHING_TO_RETRY"));
    let asked = RetryJobRequest {
        validate_only: true,
        ..retry(&name, &["A"])
    };
    let would = client.retry_failures(asked).await.unwrap();
    let progress = would.progress.unwrap();
    assert_eq!((progress.items_open, progress.items_failed), (20, 10));
    assert_eq!(would.failure_count, 10);
    let asked = d.job(&name).await;
    assert_eq!(
        (outcome_counts(&asked), asked.failure_count),
        ([30, 0, 20, 0], 20)
    );

    mood.send_modify(|mood| mood.healed = true);
    let retried = client.retry_failures(retry(&name, &["A"])).await.unwrap();
    assert_eq!((retried.run, retried.failure_count), (0, 10));
    d.watch_until(&name, "10 are done", |job| outcome_counts(job)[1] == 10)
        .await;
    let left = d.failures(&name).await;
    assert!(left.len() == 10 && left.iter().all(|failure| failure.code == "B"));
    // The log is read only below the oldest transaction of anybody on the database's server.
    let retried = until("the event", PATIENCE, async || {
        let events = client.list_events(ListEventsRequest {
            parent: name.to_string(),
            kinds: vec![EventKind::JobRetried.into()],
            ..ListEventsRequest::default()
        });
        let events = events.await.unwrap().events;
        assert!(events.len() <= 1);
        events.into_iter().next()
    });
    let retried = retried.await;
    assert_eq!((retried.item_count, retried.run), (10, 0));

    mood.send_modify(|mood| mood.open = true);
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [30, 20, 10, 0]);
    assert_eq!((job.run, job.failure_count), (0, 10));
    assert_eq!(job.failure_sample.len(), 10);
    client.retry_failures(retry(&name, &["B"])).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!((outcome_counts(&job), job.run), ([30, 30, 0, 0], 1));
}

/// Many pages with a small window, all of which fails twice before it is done.
async fn again_and_again_within_the_window(d: Deployment) {
    let (mood, _) = moody(&d);
    let spec = range(600, 20).max_in_flight(64);
    let name = d.create("many", spec.build()).await;
    for _ in 0..2 {
        d.watch_until(&name, "some have failed", |job| outcome_counts(job)[2] > 20)
            .await;
        let request = retry(&name, &["A", "B"]);
        let retried = d.client().retry_failures(request).await.unwrap();
        assert!(retried.progress.unwrap().items_in_flight <= 64);
    }
    mood.send_modify(|mood| mood.healed = true);
    d.watch_until(&name, "all that is not held has ended", |job| {
        let [_, done, failed, _] = outcome_counts(job);
        done + failed == 590
    })
    .await;
    // What failed meanwhile; there may be none.
    let request = retry(&name, &["A", "B"]);
    if let Err(error) = d.client().retry_failures(request).await {
        assert_eq!(error.reason(), Some("NOTHING_TO_RETRY"), "{error}");
    }
    mood.send_modify(|mood| mood.open = true);
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!((outcome_counts(&job), job.run), ([600, 600, 0, 0], 0));
    assert_eq!(job.failure_count, 0);
}

async fn a_paused_job_waits_with_it(d: Deployment) {
    let (mood, mut waiting) = moody(&d);
    let name = d.create("held", range(30, 7).build()).await;
    d.watch_until(&name, "20 have failed", |job| outcome_counts(job)[2] == 20)
        .await;
    // What was not begun would be set aside.
    let all = tokio::time::timeout(PATIENCE, waiting.wait_for(|items| *items == 10)).await;
    assert!(all.is_ok_and(|all| all.is_ok()));
    d.client().pause_job(&name).await.unwrap();
    mood.send_replace(Mood {
        healed: true,
        open: true,
    });
    let retried = d
        .client()
        .retry_failures(retry(&name, &["A"]))
        .await
        .unwrap();
    assert_eq!(retried.state(), JobState::Paused);
    d.watch_until(&name, "nothing runs", |job| {
        job.progress
            .is_some_and(|progress| progress.items_in_flight == 0)
    })
    .await;
    assert_eq!(outcome_counts(&d.job(&name).await), [30, 10, 10, 0]);
    d.client().resume_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [30, 20, 10, 0]);
}

async fn dead_letters_are_sent_again_while_the_job_runs(d: Deployment) {
    let spec = range(6, 6).items_per_message(2).build();
    let name = d.create("dead", spec).await;
    kill_messages(&d, &Queue::Pipe(WORK.to_owned()), 2).await;
    d.watch_until(&name, "4 have failed", |job| outcome_counts(job)[2] == 4)
        .await;
    let letters = d.client().dead_letters(ListDeadLettersRequest {
        parent: "partitions/default".to_owned(),
        ..ListDeadLettersRequest::default()
    });
    assert_eq!(
        futures::TryStreamExt::try_collect::<Vec<_>>(letters)
            .await
            .unwrap()
            .len(),
        4
    );
    let (status, printed, said) = headway(&d, &["dead", "redrive", "--pipe", WORK]).await;
    assert_eq!(status, ExitStatus::Completed, "{said}");
    assert!(printed.contains("dead"), "{printed}");
    let job = d.job(&name).await;
    assert_eq!((outcome_counts(&job), job.failure_count), ([6, 0, 0, 0], 0));
    let record = headway_tests::Record::default();
    d.worker(|worker| worker.handler(crate::handlers::quick(&record)));
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!((outcome_counts(&job), job.run), ([6, 6, 0, 0], 0));
    record.assert_each_once(6);
}
