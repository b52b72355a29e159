//! A tracking side that collects reports, workers that run, and handlers that tests answer for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headway::wire::item_report::Event;
use headway::wire::{Done, ReportMessage, TaskItem, TaskMessage};
use headway_broker::{Broker, Consumer, Queue};
use headway_runtime::tasks;
use headway_worker::{CancellationToken, Task, Worker, WorkerBuilder, WorkerError};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::broker::TestBroker;

pub(crate) const PIPE: &str = "work";
pub(crate) const RESULTS: &str = "results";
pub(crate) const SHARD: u16 = 3;
/// Where workers ask which jobs are held.
pub(crate) const QUESTIONS: Queue = Queue::Reports(0);
/// How long a test waits for the worker, on the tests' paused clock: longer than any pause that the
/// worker makes.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The result of `wait`; fails the test if it does not come, instead of waiting without end.
pub(crate) async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(result) => result,
        Err(_) => panic!("{what} did not come"),
    }
}

/// A task message of job `[1; 16]`, page 0, at control 0, with the items 0 to `items - 1`.
pub(crate) fn message(items: u32) -> TaskMessage {
    let item = |index| TaskItem {
        index,
        payload: Bytes::from(format!("{{\"n\":{index}}}")),
        ..TaskItem::default()
    };
    TaskMessage {
        job_uid: Bytes::from_static(&[1; 16]),
        job: "partitions/p/jobs/j".into(),
        shard: SHARD.into(),
        r#type: "test".into(),
        content_type: "application/json".into(),
        items: (0..items).map(item).collect(),
        ..TaskMessage::default()
    }
}

/// A message of one item with this index.
pub(crate) fn single(index: u32) -> TaskMessage {
    let item = TaskItem {
        index,
        ..TaskItem::default()
    };
    TaskMessage {
        items: vec![item],
        ..message(0)
    }
}

/// What was reported of an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reported {
    pub page: u32,
    pub index: u32,
    pub event: Event,
}

/// The tracking side: acknowledges each report as it reads it.
pub(crate) struct Tracking {
    consumer: Box<dyn Consumer>,
    pub reports: Vec<ReportMessage>,
    pub heartbeats: usize,
    ahead: Vec<Reported>,
}

impl Tracking {
    pub(crate) async fn new(broker: &TestBroker) -> Self {
        let consumer = broker
            .inner
            .consume(&Queue::Reports(SHARD), 1000)
            .await
            .expect("is open");
        Self {
            consumer,
            reports: Vec::new(),
            heartbeats: 0,
            ahead: Vec::new(),
        }
    }

    async fn read(&mut self) {
        let deliveries = in_time("a report", self.consumer.next(1)).await;
        for delivery in deliveries.expect("is open") {
            let report = ReportMessage::decode(delivery.body).expect("is a report");
            self.consumer.acker().ack(&[delivery.tag]).await;
            assert_eq!(report.session.len(), 16);
            self.heartbeats += usize::from(report.heartbeat);
            for page in &report.pages {
                let done = page.done.iter().map(|index| Reported {
                    page: page.page,
                    index: *index,
                    event: Event::Done(Done {}),
                });
                let items = page.items.iter().map(|item| Reported {
                    page: page.page,
                    index: item.index,
                    event: item.event.clone().expect("has an event"),
                });
                self.ahead.extend(done.chain(items));
            }
            self.reports.push(report);
        }
    }

    /// The next `count` things reported, sorted by item; fails the test if they do not come.
    pub(crate) async fn next(&mut self, count: usize) -> Vec<Reported> {
        while self.ahead.len() < count {
            self.read().await;
        }
        let mut taken: Vec<Reported> = self.ahead.drain(..count).collect();
        taken.sort_by_key(|reported| (reported.page, reported.index));
        taken
    }

    pub(crate) async fn one(&mut self) -> Event {
        self.next(1).await.remove(0).event
    }

    pub(crate) async fn until_heartbeats(&mut self, count: usize) {
        while self.heartbeats < count {
            self.read().await;
        }
    }

    /// Everything that comes within some (paused) time.
    pub(crate) async fn within(&mut self, seconds: u64) -> Vec<Reported> {
        let limit = Duration::from_secs(seconds);
        let reading = async {
            loop {
                self.read().await;
            }
        };
        // Ends by the timeout alone.
        let _: Result<(), _> = tokio::time::timeout(limit, reading).await;
        std::mem::take(&mut self.ahead)
    }
}

/// A worker that runs in the background.
pub(crate) struct Running {
    pub shutdown: CancellationToken,
    pub handle: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    /// Starts a worker and waits until it consumes.
    pub(crate) async fn start(broker: &TestBroker, builder: WorkerBuilder) -> Self {
        let worker = builder
            .broker(Arc::new(broker.clone()))
            .pipe(PIPE)
            .name("w")
            .build()
            .expect("is whole");
        let shutdown = CancellationToken::new();
        let handle = tasks::spawn(worker.run(shutdown.clone()));
        broker
            .listening
            .subscribe()
            .wait_for(|listening| *listening)
            .await
            .expect("the sender lives");
        Self { shutdown, handle }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        assert_eq!(self.handle.await.expect("does not panic"), Ok(()));
    }

    /// Ends it like a crash.
    pub(crate) async fn kill(self) {
        self.handle.abort();
        assert!(self.handle.await.is_err());
    }
}

/// A handler's side that hands its tasks to the test and ends them as the test says.
pub(crate) struct Puppet {
    pub started: mpsc::Receiver<(Task, tokio::sync::oneshot::Sender<Ends>)>,
}

pub(crate) type Ends = Result<headway_worker::Outcome, headway_worker::TaskError>;

impl Puppet {
    /// The puppet and the builder with its handler. The handler ends when the test drops or answers
    /// the sender.
    pub(crate) fn new(concurrency: usize) -> (Self, WorkerBuilder) {
        let (sender, started) = mpsc::channel(1000);
        let builder = Worker::builder()
            .concurrency(concurrency)
            .handler(move |task: Task| {
                let sender = sender.clone();
                async move {
                    let (answer, ends) = tokio::sync::oneshot::channel();
                    sender.send((task, answer)).await.expect("the test listens");
                    ends.await.expect("the test answers")
                }
            });
        (Self { started }, builder)
    }

    pub(crate) async fn next(&mut self) -> (Task, tokio::sync::oneshot::Sender<Ends>) {
        in_time("the start of a handler", self.started.recv())
            .await
            .expect("the worker lives")
    }
}
