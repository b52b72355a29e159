//! A tracking side that collects reports, and a broker whose confirms can be held back and whose
//! acknowledgements are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headway::wire::item_report::Event;
use headway::wire::{ControlMessage, Disposition, Done, ReportMessage, TaskItem, TaskMessage};
use headway_broker::{
    Acker, Broker, BrokerError, Consumer, Delivery, DeliveryTag, Depth, InProcessBroker, Outgoing,
    Queue, Subscription, Topic,
};
use headway_worker::{CancellationToken, Task, Worker, WorkerBuilder, WorkerError};
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub const PIPE: &str = "work";
pub const RESULTS: &str = "results";
pub const SHARD: u16 = 3;
/// Where workers ask which jobs are held.
pub const QUESTIONS: Queue = Queue::Reports(0);
/// How long a test waits for the worker, on the tests' paused clock: longer than any pause that the worker makes.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The result of `wait`; fails the test if it does not come, instead of waiting without end.
async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(result) => result,
        Err(_) => panic!("{what} did not come"),
    }
}

/// A broker in memory that can be troubled.
#[derive(Debug, Clone)]
pub struct TestBroker {
    pub inner: InProcessBroker,
    /// While false, publishes arrive but their confirms do not come back.
    confirming: Arc<watch::Sender<bool>>,
    /// So many publishes are answered with `Unavailable` and not made.
    pub failures: Arc<AtomicUsize>,
    /// While true, the result pipe refuses messages, as a full pipe does.
    pub full: Arc<AtomicBool>,
    acked: Arc<watch::Sender<usize>>,
    pub listening: Arc<watch::Sender<bool>>,
}

impl TestBroker {
    pub fn new() -> Self {
        Self {
            inner: InProcessBroker::new(),
            confirming: Arc::new(watch::Sender::new(true)),
            failures: Arc::default(),
            full: Arc::default(),
            acked: Arc::new(watch::Sender::new(0)),
            listening: Arc::new(watch::Sender::new(false)),
        }
    }

    pub fn confirm(&self, confirming: bool) {
        self.confirming.send_replace(confirming);
    }

    pub fn acked(&self) -> usize {
        *self.acked.borrow()
    }

    pub async fn until_acked(&self, count: usize) {
        let mut acked = self.acked.subscribe();
        in_time(
            "an acknowledgement",
            acked.wait_for(|acked| *acked >= count),
        )
        .await
        .expect("the sender lives");
    }

    pub async fn send(&self, message: TaskMessage) {
        let outgoing = Outgoing {
            queue: Queue::Pipe(PIPE.into()),
            body: message.encode_to_vec().into(),
        };
        assert_eq!(self.inner.publish(vec![outgoing]).await, [Ok(())]);
    }

    pub async fn control(&self, job: u8, control: u32, disposition: Disposition) {
        let job_uid = Bytes::copy_from_slice(&[job; 16]);
        let message = ControlMessage {
            job_uid,
            control,
            disposition: disposition.into(),
        };
        self.inner
            .broadcast(Topic::Control, 0, message.encode_to_vec().into())
            .await;
    }

    pub async fn ready(&self, queue: Queue) -> u64 {
        self.inner.depth(&queue).await.expect("is open").ready
    }

    /// Delivers the pipe's messages once to a consumer that is lost, so that they come again as redelivered.
    pub async fn lose_a_consumer(&self) {
        let mut consumer = self
            .inner
            .consume(&Queue::Pipe(PIPE.into()), 100)
            .await
            .expect("is open");
        consumer.next(100).await.expect("has messages");
    }
}

#[async_trait]
impl Broker for TestBroker {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        // The question which jobs are held, which nothing rests on; reports of the tests' jobs go elsewhere.
        if messages.iter().all(|message| message.queue == QUESTIONS) {
            return self.inner.publish(messages).await;
        }
        let fails = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        if fails {
            return messages
                .iter()
                .map(|_| Err(BrokerError::Unavailable("a test says so".into())))
                .collect();
        }
        let result = Queue::Pipe(RESULTS.into());
        let full = self.full.load(Ordering::SeqCst);
        if full && messages.iter().any(|message| message.queue == result) {
            let refused = || Err(BrokerError::Refused("a test says so".into()));
            return messages.iter().map(|_| refused()).collect();
        }
        let results = self.inner.publish(messages).await;
        self.confirming
            .subscribe()
            .wait_for(|confirming| *confirming)
            .await
            .expect("the sender lives");
        results
    }

    async fn consume(
        &self,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        let inner = self.inner.consume(queue, prefetch).await?;
        let acker = Arc::new(TestAcker {
            inner: inner.acker(),
            acked: self.acked.clone(),
        });
        self.listening.send_replace(true);
        Ok(Box::new(TestConsumer { inner, acker }))
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        self.inner.depth(queue).await
    }

    async fn purge(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.inner.purge(queue).await
    }

    async fn delete(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.inner.delete(queue).await
    }

    async fn broadcast(&self, topic: Topic, key: u8, body: Bytes) {
        self.inner.broadcast(topic, key, body).await;
    }

    async fn subscribe(
        &self,
        topic: Topic,
        keys: &[u8],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.inner.subscribe(topic, keys).await
    }

    async fn plant_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        self.inner.plant_epoch(epoch).await
    }

    async fn has_epoch(&self, epoch: Uuid) -> Result<bool, BrokerError> {
        self.inner.has_epoch(epoch).await
    }

    async fn remove_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        self.inner.remove_epoch(epoch).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct TestConsumer {
    inner: Box<dyn Consumer>,
    acker: Arc<TestAcker>,
}

#[async_trait]
impl Consumer for TestConsumer {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        self.inner.next(max).await
    }

    fn acker(&self) -> Arc<dyn Acker> {
        self.acker.clone()
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        self.inner.set_prefetch(prefetch).await
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
    }
}

struct TestAcker {
    inner: Arc<dyn Acker>,
    acked: Arc<watch::Sender<usize>>,
}

#[async_trait]
impl Acker for TestAcker {
    async fn ack(&self, tags: &[DeliveryTag]) {
        self.inner.ack(tags).await;
        self.acked.send_modify(|acked| *acked += tags.len());
    }

    async fn reject(&self, tags: &[DeliveryTag], requeue: bool) {
        self.inner.reject(tags, requeue).await;
    }
}

/// A task message of job `[1; 16]`, page 0, at control 0, with the items 0 to `items - 1`.
pub fn message(items: u32) -> TaskMessage {
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
pub fn single(index: u32) -> TaskMessage {
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
pub struct Reported {
    pub page: u32,
    pub index: u32,
    pub event: Event,
}

/// The tracking side: acknowledges each report as it reads it.
pub struct Tracking {
    consumer: Box<dyn Consumer>,
    pub reports: Vec<ReportMessage>,
    pub heartbeats: usize,
    ahead: Vec<Reported>,
}

impl Tracking {
    pub async fn new(broker: &TestBroker) -> Self {
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
    pub async fn next(&mut self, count: usize) -> Vec<Reported> {
        while self.ahead.len() < count {
            self.read().await;
        }
        let mut taken: Vec<Reported> = self.ahead.drain(..count).collect();
        taken.sort_by_key(|reported| (reported.page, reported.index));
        taken
    }

    pub async fn one(&mut self) -> Event {
        self.next(1).await.remove(0).event
    }

    pub async fn until_heartbeats(&mut self, count: usize) {
        while self.heartbeats < count {
            self.read().await;
        }
    }

    /// Everything that comes within some (paused) time.
    pub async fn within(&mut self, seconds: u64) -> Vec<Reported> {
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
pub struct Running {
    pub shutdown: CancellationToken,
    pub handle: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    /// Starts a worker and waits until it consumes.
    pub async fn start(broker: &TestBroker, builder: WorkerBuilder) -> Self {
        let worker = builder
            .broker(Arc::new(broker.clone()))
            .pipe(PIPE)
            .name("w")
            .build()
            .expect("is whole");
        let shutdown = CancellationToken::new();
        let handle = tokio::spawn(worker.run(shutdown.clone()));
        broker
            .listening
            .subscribe()
            .wait_for(|listening| *listening)
            .await
            .expect("the sender lives");
        Self { shutdown, handle }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        assert_eq!(self.handle.await.expect("does not panic"), Ok(()));
    }

    /// Ends it like a crash.
    pub async fn kill(self) {
        self.handle.abort();
        assert!(self.handle.await.is_err());
    }
}

/// A handler's side that hands its tasks to the test and ends them as the test says.
pub struct Puppet {
    pub started: mpsc::Receiver<(Task, tokio::sync::oneshot::Sender<Ends>)>,
}

pub type Ends = Result<headway_worker::Outcome, headway_worker::TaskError>;

impl Puppet {
    /// The puppet and the builder with its handler. The handler ends when the test drops or answers the sender.
    pub fn new(concurrency: usize) -> (Self, WorkerBuilder) {
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

    pub async fn next(&mut self) -> (Task, tokio::sync::oneshot::Sender<Ends>) {
        in_time("the start of a handler", self.started.recv())
            .await
            .expect("the worker lives")
    }
}
