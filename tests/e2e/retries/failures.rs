//! Items that fail: retries, policies, listings, and running again what failed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use headway::v1::{JobState, failure_policy::OnExceeded};
use headway_broker::{Outgoing, Queue};
use headway_tests::{Deployment, PATIENCE, Record, WORK, outcome_counts, range, until};
use headway_worker::{Outcome, Task, TaskError};

use crate::handlers::{number, quick};

on_both!(
    one_in_five_fails_at_first,
    what_failed_is_listed_and_runs_again,
    attempts_are_counted,
    the_job_stops_when_too_many_fail,
    tolerated_failures,
    an_item_that_takes_too_long,
    a_panic_is_a_failure,
    dead_letters_are_failures,
    dead_letters_that_nobody_can_read,
);

async fn one_in_five_fails_at_first(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                drop(running);
                if number(&task)? % 5 == 0 && task.attempt() == 1 {
                    return Err(TaskError::retryable("BUSY", "not now"));
                }
                Ok(Outcome::done())
            }
        })
    });
    let name = d
        .create("busy", range(1500, 400).items_per_message(3).build())
        .await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1500, 1500, 0, 0]);
    let runs = record.runs();
    assert_eq!(runs.len(), 1500);
    for (item, runs) in runs {
        let number: u32 = item.parse().expect("a number");
        let expected = if number.is_multiple_of(5) { 2 } else { 1 };
        assert_eq!(runs, expected, "runs of {number}");
    }
}

async fn what_failed_is_listed_and_runs_again(d: Deployment) {
    let mended = Arc::new(AtomicBool::new(false));
    let record = Record::default();
    let (notes, switch) = (record.clone(), mended.clone());
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            let broken = !switch.load(Ordering::Relaxed);
            async move {
                drop(running);
                let number = number(&task)?;
                if broken && number % 40 == 7 {
                    let error = TaskError::fatal("BAD_NUMBER", format!("{number} is not liked"));
                    return Err(error.details(format!("{{\"number\":{number}}}")));
                }
                Ok(Outcome::done())
            }
        })
    });
    let name = d.create("failing", range(800, 150).build()).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [800, 780, 20, 0]);
    assert_eq!((job.failure_count, job.failure_sample.len()), (20, 10));
    let failures = d.failures(&name).await;
    let messages: BTreeSet<_> = failures
        .iter()
        .map(|failure| failure.message.as_str())
        .collect();
    assert_eq!((failures.len(), messages.len()), (20, 20));
    for failure in &failures {
        assert_eq!(
            (failure.code.as_str(), failure.attempt, failure.run),
            ("BAD_NUMBER", 1, 0)
        );
        assert_eq!(failure.worker, "tester");
        assert!(failure.details.contains("number") && failure.record_time.is_some());
    }
    record.assert_each_once(800);

    // The same again: still broken, so the same items fail in the second run, and nothing else
    // runs.
    record.clear();
    d.client().retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!((job.run, outcome_counts(&job)), (1, [800, 780, 20, 0]));
    assert_eq!(record.total(), 20);
    assert!(
        d.failures(&name)
            .await
            .iter()
            .all(|failure| failure.run == 1)
    );

    mended.store(true, Ordering::Relaxed);
    record.clear();
    d.client().retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!((job.run, outcome_counts(&job)), (2, [800, 800, 0, 0]));
    assert_eq!((record.total(), job.failure_count), (20, 0));
    assert!(d.failures(&name).await.is_empty());
    let rows = d.store().rows_of(d.uid(&name).await).await.unwrap();
    assert_eq!((rows["page"], rows["item"]), (0, 0), "{rows:?}");
}

async fn attempts_are_counted(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                drop(running);
                let message = format!("attempt {}", task.attempt());
                Err::<Outcome, _>(TaskError::retryable("NEVER", message))
            }
        })
    });
    let name = d.create("never", range(3, 3).max_attempts(3).build()).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [3, 0, 3, 0]);
    for failure in d.failures(&name).await {
        assert_eq!(
            (failure.attempt, failure.message.as_str()),
            (3, "attempt 3")
        );
    }
    assert!(record.runs().values().all(|runs| *runs == 3));
}

async fn the_job_stops_when_too_many_fail(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop(running);
                Err::<Outcome, _>(TaskError::fatal("NO", "no"))
            }
        })
    });
    let spec = range(4000, 500)
        .max_failed_items(10)
        .on_exceeded(OnExceeded::Stop)
        .build();
    let name = d.create("stop", spec).await;
    let job = d.finish(&name, JobState::Failed).await;
    let [known, done, failed, discarded] = outcome_counts(&job);
    // Items that were never sent count as discarded.
    assert!(
        done == 0 && failed > 10 && discarded > 0 && failed + discarded == known,
        "{job:#?}"
    );
    assert!(
        record.total() < 4000,
        "it was stopped too late to tell anything"
    );
    assert_eq!(record.running(), 0);
}

async fn tolerated_failures(d: Deployment) {
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            match number(&task)? % 100 {
                0 => Err(TaskError::fatal("NO", "no")),
                _ => Ok(Outcome::done()),
            }
        })
    });
    for (id, percentage, state) in [
        ("enough", 1.0, JobState::Completed),
        ("too-many", 0.9, JobState::Failed),
    ] {
        let spec = range(500, 200).max_failed_percentage(percentage).build();
        let name = d.create(id, spec).await;
        let job = d.finish(&name, state).await;
        assert_eq!(outcome_counts(&job), [500, 495, 5, 0]);
        let percentage = job.progress.unwrap_or_default().percentage;
        assert_eq!(
            percentage == 100.0,
            state == JobState::Completed,
            "{percentage}"
        );
    }
}

async fn an_item_that_takes_too_long(d: Deployment) {
    let record = Record::default();
    let told = Arc::new(AtomicU32::new(0));
    let (notes, heard) = (record.clone(), told.clone());
    d.worker(|worker| {
        let worker = worker.timeout_grace(Duration::from_millis(100));
        worker.handler(move |task: Task| {
            let (running, heard) = (notes.start(&task), heard.clone());
            async move {
                let _running = running;
                if number(&task)? == 3 {
                    task.cancellation().cancelled().await;
                    heard.fetch_add(1, Ordering::Relaxed);
                    // It was told to stop, and does not.
                    std::future::pending::<()>().await;
                }
                Ok::<_, TaskError>(Outcome::done())
            }
        })
    });
    let spec = range(10, 10)
        .item_timeout(Duration::from_millis(200))
        .max_attempts(2)
        .build();
    let name = d.create("slow", spec).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [10, 9, 1, 0]);
    let failures = d.failures(&name).await;
    assert_eq!((failures.len(), failures[0].code.as_str()), (1, "TIMEOUT"));
    assert_eq!(record.runs()["3"], 2);
    assert_eq!((told.load(Ordering::Relaxed), record.running()), (2, 0));
}

async fn a_panic_is_a_failure(d: Deployment) {
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            let number = number(&task)?;
            assert!(number != 4, "four is not expected");
            Ok::<_, TaskError>(Outcome::done())
        })
    });
    let name = d
        .create("panic", range(10, 10).max_attempts(1).build())
        .await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [10, 9, 1, 0]);
    let failures = d.failures(&name).await;
    assert_eq!(failures[0].code, "PANIC");
    assert!(
        failures[0].message.contains("four is not expected"),
        "{failures:?}"
    );
}

/// Takes what is ready in a queue and gives all of it to the dead letters.
pub(crate) async fn kill_messages(d: &Deployment, queue: &Queue, most: usize) {
    let mut consumer = d.broker().consume(queue, 100).await.unwrap();
    let acker = consumer.acker();
    let mut killed = 0;
    while killed < most {
        for delivery in consumer.next(most - killed).await.unwrap() {
            acker.reject(&[delivery.tag], false).await;
            killed += 1;
        }
    }
}

async fn dead_letters_are_failures(d: Deployment) {
    // Nobody works yet: three messages of two items are given up by their pipe.
    let spec = range(20, 20).items_per_message(2).build();
    let name = d.create("dead", spec).await;
    kill_messages(&d, &Queue::Pipe(WORK.to_owned()), 3).await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [20, 14, 6, 0]);
    for failure in d.failures(&name).await {
        assert_eq!(failure.code, "DEAD_LETTERED", "{failure:?}");
    }
    d.client().retry_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [20, 20, 0, 0]);
    record.assert_each_once(20);
}

async fn dead_letters_that_nobody_can_read(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let nonsense = |queue| Outgoing {
        queue,
        body: bytes::Bytes::from_static(b"\xff\xff\xff"),
    };
    let queues = [
        Queue::Pipe(WORK.to_owned()),
        Queue::Reports(0),
        Queue::Batch,
        Queue::DeadSystem,
    ];
    let sent = d.broker().publish(queues.map(nonsense).to_vec()).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let name = d.create("fine", range(300, 100).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [300, 300, 0, 0]);
    record.assert_each_once(300);
    until("the nonsense to be gone", PATIENCE, || async {
        let depth = d.broker().depth(&Queue::DeadTasks).await.unwrap();
        (depth.ready == 0).then_some(())
    })
    .await;
}
