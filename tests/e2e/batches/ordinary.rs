//! Jobs that meet with nothing unusual: exact counts, windows, pipelines, progress.

use std::{sync::Arc, time::Duration};

use headway::v1::JobState;
use headway_client::{JobBuilder, TaskBuilder};
use headway_tests::{Deployment, Record, SECOND, WORK, outcome_counts, range};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;
use tokio::sync::Notify;

use crate::handlers::{quick, slow};

on_both!(
    a_batch_completes_exactly,
    a_single_task,
    at_most_ten_in_flight,
    two_stages_by_forwards,
    fractions_move_the_percentage,
    results_are_published,
    many_jobs_at_once,
);

async fn a_batch_completes_exactly(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    for (id, together) in [("one-by-one", 1), ("seven-together", 7)] {
        record.clear();
        let spec = range(5000, 600).items_per_message(together).build();
        let name = d.create(id, spec).await;
        let job = d.finish(&name, JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [5000, 5000, 0, 0]);
        let progress = job.progress.unwrap_or_default();
        assert!(progress.total_final && progress.items_expected == 5000);
        assert_eq!(progress.percentage, 100.0);
        assert_eq!(job.failure_count, 0);
        record.assert_each_once(5000);
        // What a finished job keeps does not grow with its items.
        let rows = d.store().rows_of(d.uid(&name).await).await.unwrap();
        assert_eq!((rows["page"], rows["item"]), (0, 0), "{rows:?}");
    }
}

async fn a_single_task(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let task = TaskBuilder::new(WORK, "single").json(&json!({"a": 1}));
    let name = d.create("single", JobBuilder::new(task).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1, 1, 0, 0]);
    assert_eq!(record.runs(), [(r#"{"a":1}"#.to_owned(), 1)].into());
    assert!(job.start_time.is_some() && job.end_time.is_some());
}

async fn at_most_ten_in_flight(d: Deployment) {
    let record = Record::default();
    let handler = slow(&record, Duration::from_millis(4));
    d.worker(|worker| worker.concurrency(64).handler(handler));
    let spec = range(400, 100).max_in_flight(10).build();
    let name = d.create("window", spec).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [400, 400, 0, 0]);
    record.assert_each_once(400);
    assert!(record.most() <= 10, "{} ran at once", record.most());
    assert!(
        record.most() >= 4,
        "the window is hardly used: {}",
        record.most()
    );
}

async fn two_stages_by_forwards(d: Deployment) {
    let (first, second) = (Record::default(), Record::default());
    let record = first.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = record.start(&task);
            async move {
                drop(running);
                let payload = format!("\"second {}\"", task.payload::<u32>()?);
                let forward = Outcome::forward(SECOND, "again", payload, "application/json");
                Ok::<_, TaskError>(forward)
            }
        })
    });
    let record = second.clone();
    d.worker(|worker| {
        worker.pipe(SECOND).handler(move |task: Task| {
            let running = record.start(&task);
            async move {
                drop(running);
                assert_eq!((task.stage(), task.task_type()), (1, "again"));
                Ok::<_, TaskError>(Outcome::done())
            }
        })
    });
    let name = d.create("stages", range(1000, 250).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [1000, 1000, 0, 0]);
    first.assert_each_once(1000);
    let runs = second.runs();
    assert_eq!(runs.len(), 1000);
    assert!(runs.contains_key("\"second 999\"") && runs.values().all(|runs| *runs == 1));
}

async fn fractions_move_the_percentage(d: Deployment) {
    let go_on = Arc::new(Notify::new());
    let release = go_on.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let go_on = go_on.clone();
            async move {
                task.progress(0.5);
                go_on.notified().await;
                Ok::<_, TaskError>(Outcome::done())
            }
        })
    });
    let name = d.create("fraction", range(1, 1).build()).await;
    let half = d
        .watch_until(&name, "half of it was done", |job| {
            job.progress
                .as_ref()
                .is_some_and(|now| now.percentage >= 49.0)
        })
        .await;
    let progress = half.progress.unwrap_or_default();
    assert!(progress.percentage < 51.0, "{progress:?}");
    assert_eq!(outcome_counts(&half), [1, 0, 0, 0]);
    release.notify_one();
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(job.progress.unwrap_or_default().percentage, 100.0);
}

async fn results_are_published(d: Deployment) {
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            let double = 2 * task.payload::<u32>()?;
            let result = Outcome::done_with_result(double.to_string(), "text/plain");
            Ok::<_, TaskError>(result)
        })
    });
    let spec = range(100, 40).result_pipe("results").build();
    let name = d.create("results", spec).await;
    d.finish(&name, JobState::Completed).await;
    let results = headway_broker::Queue::Pipe("results".to_owned());
    let mut consumer = d.broker().consume(&results, 200).await.unwrap();
    let acker = consumer.acker();
    let mut sum = 0;
    for _ in 0..100 {
        let delivery = consumer.next(1).await.unwrap().remove(0);
        let message: headway::wire::ResultMessage =
            prost::Message::decode(delivery.body).expect("a result");
        assert_eq!(message.job, name.to_string());
        let text = String::from_utf8(message.payload.to_vec()).expect("text");
        sum += text.parse::<u32>().expect("a number");
        acker.ack(&[delivery.tag]).await;
    }
    assert_eq!(sum, 2 * (0..100).sum::<u32>());
}

async fn many_jobs_at_once(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let jobs = (0..40).map(|number| {
        let d = d.clone();
        async move {
            let name = d
                .create(&format!("job-{number}"), range(25, 10).build())
                .await;
            outcome_counts(&d.finish(&name, JobState::Completed).await)
        }
    });
    for counts in futures::future::join_all(jobs).await {
        assert_eq!(counts, [25, 25, 0, 0]);
    }
    assert_eq!(record.total(), 40 * 25);
}
