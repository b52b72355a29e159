//! A broker whose confirms can be held back and whose acknowledgements are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use headway::wire::{ControlMessage, Disposition, TaskMessage};
use headway_broker::{
    Acker, Broker, BrokerError, Consumer, Delivery, DeliveryTag, Depth, InProcessBroker, Outgoing,
    Queue, Subscription, Topic,
};
use prost::Message;
use tokio::sync::watch;
use uuid::Uuid;

use crate::harness::{PIPE, QUESTIONS, RESULTS, in_time};

/// A broker in memory that can be troubled.
#[derive(Debug, Clone)]
pub(crate) struct TestBroker {
    pub inner: InProcessBroker,
    /// While false, publishes arrive but their confirms do not come back.
    confirming: Arc<watch::Sender<bool>>,
    /// This many publishes are answered with `Unavailable` and not made.
    pub failures: Arc<AtomicUsize>,
    /// While true, the result pipe refuses messages, as a full pipe does.
    pub full: Arc<AtomicBool>,
    acked: Arc<watch::Sender<usize>>,
    pub listening: Arc<watch::Sender<bool>>,
}

impl TestBroker {
    pub(crate) fn new() -> Self {
        Self {
            inner: InProcessBroker::new(),
            confirming: Arc::new(watch::Sender::new(true)),
            failures: Arc::default(),
            full: Arc::default(),
            acked: Arc::new(watch::Sender::new(0)),
            listening: Arc::new(watch::Sender::new(false)),
        }
    }

    pub(crate) fn confirm(&self, confirming: bool) {
        self.confirming.send_replace(confirming);
    }

    pub(crate) fn acked(&self) -> usize {
        *self.acked.borrow()
    }

    pub(crate) async fn until_acked(&self, count: usize) {
        let mut acked = self.acked.subscribe();
        in_time(
            "an acknowledgement",
            acked.wait_for(|acked| *acked >= count),
        )
        .await
        .expect("the sender lives");
    }

    pub(crate) async fn send(&self, message: TaskMessage) {
        let outgoing = Outgoing {
            queue: Queue::Pipe(PIPE.into()),
            body: message.encode_to_vec().into(),
        };
        assert_eq!(self.inner.publish(vec![outgoing]).await, [Ok(())]);
    }

    pub(crate) async fn control(&self, job: u8, control: u32, disposition: Disposition) {
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

    pub(crate) async fn ready(&self, queue: Queue) -> u64 {
        self.inner.depth(&queue).await.expect("is open").ready
    }

    /// Delivers the pipe's messages once to a consumer that is lost, so that they come again as
    /// redelivered.
    pub(crate) async fn lose_a_consumer(&self) {
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
        // The question which jobs are held, which nothing rests on; reports of the tests' jobs go
        // elsewhere.
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
