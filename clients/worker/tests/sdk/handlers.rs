//! What handlers do: errors, panics, timeouts, results, forwards, progress.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headway::wire::item_report::Event;
use headway::wire::{Done, Failed, Forward, Fraction, ResultMessage, TaskMessage};
use headway_broker::{Broker, Queue};
use headway_worker::{Outcome, Task, TaskError, Worker, code};
use prost::Message;

use crate::broker::TestBroker;
use crate::harness::{Puppet, RESULTS, Running, Tracking, message, single};

fn failed(event: Event) -> Failed {
    let Event::Failed(failed) = event else {
        panic!("{event:?} is no failure");
    };
    failed
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_become_failures() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let builder =
        Worker::builder().handler(|task: Task| async move {
            match task.item().as_str() {
                "0-0" => Err(TaskError::fatal("NO_FILE", "there is no such file\0")
                    .details("{\"path\":\"a\"}")),
                "0-1" => panic!("slice {} is wrong", 7),
                "0-2" => Err("x"
                    .parse::<u32>()
                    .map(drop)
                    .expect_err("is no number")
                    .into()),
                _ => Ok(Outcome::done()),
            }
        });
    let worker = Running::start(&broker, builder).await;
    broker.send(message(4)).await;
    let mut events = tracking.next(4).await.into_iter().map(|one| one.event);
    let fatal = failed(events.next().expect("is reported"));
    assert_eq!((fatal.retryable, fatal.code.as_str()), (false, "NO_FILE"));
    assert_eq!(
        (fatal.message.as_str(), fatal.details.as_str()),
        ("there is no such file", "{\"path\":\"a\"}")
    );
    let panic = failed(events.next().expect("is reported"));
    assert_eq!((panic.retryable, panic.code.as_str()), (true, code::PANIC));
    assert!(
        panic.message.contains("slice 7 is wrong"),
        "{}",
        panic.message
    );
    let plain = failed(events.next().expect("is reported"));
    assert_eq!((plain.retryable, plain.code.as_str()), (true, code::ERROR));
    assert_eq!(
        events.next(),
        Some(Event::Done(Done {})),
        "a panic takes no sibling along"
    );
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_its_timeout_is_dropped() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(3);
    let worker = Running::start(&broker, builder).await;
    broker
        .send(TaskMessage {
            timeout_ms: 1500,
            ..message(3)
        })
        .await;
    let (hangs, _end) = puppet.next().await;
    let (_, end_late) = puppet.next().await;
    let (quick, end_quick) = puppet.next().await;
    let left = hangs
        .deadline()
        .expect("has a timeout")
        .duration_since(tokio::time::Instant::now());
    assert!(left <= Duration::from_millis(1500) && left > Duration::from_millis(1400));
    end_quick.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.next(1).await[0].index, 2);
    hangs.cancellation().cancelled().await;
    assert_eq!(
        tokio::time::Instant::now(),
        hangs.deadline().expect("has a timeout")
    );
    assert!(!quick.cancellation().is_cancelled() || quick.deadline() == hangs.deadline());
    end_late.send(Ok(Outcome::done())).expect("still waits");
    assert_eq!(
        tracking.next(1).await[0].event,
        Event::Done(Done {}),
        "late, but done"
    );
    let timeout = failed(tracking.one().await);
    assert_eq!(
        (timeout.retryable, timeout.code.as_str()),
        (true, code::TIMEOUT)
    );
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_is_confirmed_before_its_outcome_is_reported() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let builder = Worker::builder().handler(|_: Task| async {
        Ok::<_, TaskError>(Outcome::done_with_result("42", "application/json"))
    });
    let worker = Running::start(&broker, builder).await;
    broker.confirm(false);
    broker
        .send(TaskMessage {
            result_pipe: "results".into(),
            page: 2,
            ..single(8)
        })
        .await;
    let mut results = broker
        .inner
        .consume(&Queue::Pipe("results".into()), 10)
        .await
        .expect("is open");
    let delivery = results.next(1).await.expect("is open").remove(0);
    let result = ResultMessage::decode(delivery.body).expect("is a result");
    assert_eq!(
        (result.job.as_str(), result.item.as_str()),
        ("partitions/p/jobs/j", "2-8")
    );
    assert_eq!(
        (result.payload.as_ref(), result.content_type.as_str()),
        (b"42".as_slice(), "application/json")
    );
    assert!(
        tracking.within(60).await.is_empty(),
        "its confirm is held back"
    );
    broker.confirm(true);
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    broker.until_acked(1).await;
    broker.send(single(9)).await;
    assert_eq!(
        tracking.one().await,
        Event::Done(Done {}),
        "without a result pipe the result is dropped"
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_forward_is_checked_at_the_edge() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let builder = Worker::builder().handler(|task: Task| async move {
        let pipe = if task.item() == "0-0" {
            "next.pipe"
        } else {
            "hw.s/batch"
        };
        Ok::<_, TaskError>(Outcome::forward(pipe, "export", "{}", "application/json"))
    });
    let worker = Running::start(&broker, builder).await;
    broker.send(message(2)).await;
    let reported = tracking.next(2).await;
    let expected = Forward {
        pipe: "next.pipe".into(),
        r#type: "export".into(),
        payload: "{}".into(),
        content_type: "application/json".into(),
    };
    assert_eq!(reported[0].event, Event::Forward(expected));
    let refused = failed(reported[1].event.clone());
    assert_eq!(
        (refused.retryable, refused.code.as_str()),
        (false, code::BAD_OUTCOME)
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn progress_is_reported_as_the_newest_fraction() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(1);
    let worker = Running::start(&broker, builder).await;
    broker.send(single(0)).await;
    let (task, end) = puppet.next().await;
    for step in 1..=50 {
        task.progress(f64::from(step) / 100.0);
    }
    assert_eq!(
        tracking.one().await,
        Event::Fraction(Fraction {
            millionths: 500_000
        })
    );
    assert!(
        tracking.within(60).await.is_empty(),
        "nothing new, nothing said"
    );
    task.progress(0.75);
    assert_eq!(
        tracking.one().await,
        Event::Fraction(Fraction {
            millionths: 750_000
        })
    );
    assert_eq!(broker.acked(), 0);
    end.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_its_pipe_does_not_take_fails_its_item() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let builder = Worker::builder().handler(|task: Task| async move {
        match task.item().as_str() {
            "0-9" => Ok::<_, TaskError>(Outcome::done()),
            _ => Ok(Outcome::done_with_result("done", "text/plain")),
        }
    });
    let worker = Running::start(&broker, builder).await;
    let with_result = |index| TaskMessage {
        result_pipe: RESULTS.into(),
        ..single(index)
    };
    broker.full.store(true, Ordering::SeqCst);
    broker.send(with_result(0)).await;
    broker.send(single(9)).await;
    // Work without results goes on meanwhile.
    assert_eq!(tracking.next(1).await[0].index, 9);
    let given_up = tokio::time::timeout(Duration::from_secs(3600), tracking.one()).await;
    let failure = failed(given_up.expect("the result is given up"));
    assert_eq!(
        (failure.retryable, failure.code.as_str()),
        (false, code::RESULT_UNDELIVERED)
    );
    assert!(failure.message.contains(RESULTS), "{failure:?}");
    // The next one is not waited for.
    let begun = tokio::time::Instant::now();
    broker.send(with_result(1)).await;
    failed(tracking.one().await);
    assert!(begun.elapsed() < Duration::from_secs(1));
    broker.full.store(false, Ordering::SeqCst);
    broker.send(with_result(2)).await;
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    broker.until_acked(4).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_result_and_no_forward_reaches_headways_own_pipes() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let builder = Worker::builder().handler(|task: Task| async move {
        match task.item().as_str() {
            "0-0" => Ok::<_, TaskError>(Outcome::done_with_result("done", "text/plain")),
            _ => Ok(Outcome::forward(
                "headway.jobs",
                "delete",
                "x",
                "text/plain",
            )),
        }
    });
    let worker = Running::start(&broker, builder).await;
    let result = TaskMessage {
        result_pipe: "headway.jobs".into(),
        ..single(0)
    };
    broker.send(result).await;
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    broker.send(single(1)).await;
    assert_eq!(failed(tracking.one().await).code, code::BAD_OUTCOME);
    assert_eq!(broker.ready(Queue::Pipe("headway.jobs".into())).await, 0);
    worker.stop().await;
}
