//! Sharing windows: messages for one queue that come while others wait for their confirms go out
//! together in the next window, so that many small publishes cost the broker as little as a large
//! one. Each queue has windows of its own: a queue that does not confirm delays no message to
//! another.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use headway_broker::{Broker, BrokerError, Outgoing, Queue};
use tokio::sync::{Semaphore, oneshot};

/// Windows of one queue under way at once.
const LANES: usize = 2;
/// Messages that are gathered into one window at most, unless one caller brings more.
const GATHERED: usize = 1000;
/// Messages, and their bytes, that wait for the windows of one queue at most; more are answered
/// with an error at once.
const MAX_WAITING: usize = 10_000;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Queues that are kept; beyond them those that nobody uses are forgotten.
const KEPT_QUEUES: usize = 256;

type Results = Vec<Result<(), BrokerError>>;

/// What one caller publishes.
#[derive(Debug)]
struct Parcel {
    messages: Vec<Outgoing>,
    reply: oneshot::Sender<Results>,
}

/// The windows of all queues.
#[derive(Debug, Default)]
pub(super) struct Windows {
    queues: Mutex<HashMap<Queue, Arc<QueueWindows>>>,
}

impl Windows {
    /// The windows of one queue.
    pub(super) fn of(&self, queue: &Queue) -> Arc<QueueWindows> {
        let mut queues = lock(&self.queues);
        if queues.len() >= KEPT_QUEUES && !queues.contains_key(queue) {
            queues.retain(|_, windows| Arc::strong_count(windows) > 1);
        }
        queues.entry(queue.clone()).or_default().clone()
    }
}

/// The parcels that wait for a window of one queue.
#[derive(Debug)]
pub(super) struct QueueWindows {
    waiting: Mutex<Waiting>,
    lanes: Semaphore,
    /// Whether a caller waited for long, and nothing was confirmed since.
    slow: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    parcels: Vec<Parcel>,
    messages: usize,
    bytes: usize,
}

impl Default for QueueWindows {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            lanes: Semaphore::new(LANES),
            slow: AtomicBool::new(false),
        }
    }
}

impl QueueWindows {
    /// Whether the queue confirms slowly, so that waiting for it is no use.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// Notes that a caller waited for long.
    pub(super) fn found_slow(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    /// Publishes messages to this queue, together with whatever others publish there now; one
    /// result a message, in order.
    pub(super) async fn publish(&self, broker: &dyn Broker, messages: Vec<Outgoing>) -> Results {
        let count = messages.len();
        let (reply, mut answer) = oneshot::channel();
        if !lock(&self.waiting).push(Parcel { messages, reply }) {
            let reason = "too many messages wait for this queue";
            return vec![Err(BrokerError::Stalled(reason.into())); count];
        }
        loop {
            let lane = tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|_| dropped(count)),
                lane = self.lanes.acquire() => lane,
            };
            let parcels = lock(&self.waiting).take();
            if parcels.is_empty() {
                // Another caller took these messages along.
                drop(lane);
                return answer.await.unwrap_or_else(|_| dropped(count));
            }
            if send(broker, parcels).await {
                self.slow.store(false, Ordering::Relaxed);
            }
        }
    }
}

impl Waiting {
    /// Adds a parcel; `false` if too much waits already.
    fn push(&mut self, parcel: Parcel) -> bool {
        let (messages, bytes) = size(&parcel);
        let full = self.messages + messages > MAX_WAITING || self.bytes + bytes > MAX_WAITING_BYTES;
        if full && !self.parcels.is_empty() {
            return false;
        }
        self.messages += messages;
        self.bytes += bytes;
        self.parcels.push(parcel);
        true
    }

    /// The oldest parcels, up to a window's messages; at least one if there is any.
    fn take(&mut self) -> Vec<Parcel> {
        let mut messages = 0;
        let fits = |parcel: &&Parcel| {
            messages += parcel.messages.len();
            messages <= GATHERED
        };
        let count = self.parcels.iter().take_while(fits).count();
        let count = count.max(1).min(self.parcels.len());
        let taken: Vec<Parcel> = self.parcels.drain(..count).collect();
        for (messages, bytes) in taken.iter().map(size) {
            self.messages -= messages;
            self.bytes -= bytes;
        }
        taken
    }
}

fn size(parcel: &Parcel) -> (usize, usize) {
    let bytes = parcel.messages.iter().map(|message| message.body.len());
    (parcel.messages.len(), bytes.sum())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Publishes parcels; whether anything was confirmed.
async fn send(broker: &dyn Broker, parcels: Vec<Parcel>) -> bool {
    let mut all = Vec::new();
    let mut replies = Vec::with_capacity(parcels.len());
    for parcel in parcels {
        replies.push((parcel.messages.len(), parcel.reply));
        all.extend(parcel.messages);
    }
    let results = broker.publish(all).await;
    let confirmed = results.iter().any(Result::is_ok);
    let mut results = results.into_iter();
    for (count, reply) in replies {
        // A caller that went away leaves its messages in the outbox, and the sweep sends them
        // again.
        let _ = reply.send(results.by_ref().take(count).collect());
    }
    confirmed
}

/// The caller that had taken these messages along went away before it knew their results.
fn dropped(count: usize) -> Results {
    let reason = "the window was given up";
    vec![Err(BrokerError::Unavailable(reason.into())); count]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures::{FutureExt, future::join_all};
    use headway_broker::in_process::InProcessBroker;

    use super::*;

    fn pipe() -> Queue {
        Queue::Pipe("p".to_owned())
    }

    fn message() -> Outgoing {
        Outgoing {
            queue: pipe(),
            body: Bytes::from_static(b"x"),
        }
    }

    #[tokio::test]
    async fn each_caller_gets_the_results_of_its_own_messages() {
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
        let windows = Windows::default();
        let callers = (0..50).map(|caller| {
            let mut messages = vec![message(); caller % 4];
            // Too large for any pipe: refused, and nobody else's business.
            if caller % 50 == 5 {
                let body = Bytes::from(vec![0; (16 << 20) + 1]);
                messages.push(Outgoing { body, ..message() });
            }
            let expected: Vec<bool> = messages
                .iter()
                .map(|message| message.body.len() == 1)
                .collect();
            let (windows, broker) = (&windows, broker.as_ref());
            async move {
                let results = windows.of(&pipe()).publish(broker, messages).await;
                let taken: Vec<bool> = results.iter().map(Result::is_ok).collect();
                assert_eq!(taken, expected, "caller {caller}");
                taken.into_iter().filter(|taken| *taken).count() as u64
            }
        });
        let sent: u64 = join_all(callers).await.into_iter().sum();
        let depth = broker.depth(&pipe()).await;
        assert_eq!(depth.map(|depth| depth.ready), Ok(sent));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_stops_nobody() {
        let broker = InProcessBroker::new();
        let windows = Windows::default();
        let pipe = pipe();
        let of_pipe = windows.of(&pipe);
        let lanes = of_pipe.lanes.acquire_many(LANES as u32).await;
        let mut gone = Box::pin(of_pipe.publish(&broker, vec![message()]));
        assert!(futures::poll!(&mut gone).is_pending());
        drop(gone);
        drop(lanes);
        let results = windows.of(&pipe).publish(&broker, vec![message()]).await;
        assert_eq!(results, [Ok(())]);
        let depth = broker.depth(&pipe).await;
        assert_eq!(depth.map(|depth| depth.ready), Ok(2));
    }

    #[tokio::test]
    async fn what_waits_for_a_queue_is_bounded() {
        let broker = InProcessBroker::new();
        let windows = Windows::default();
        let pipe = pipe();
        let of_pipe = windows.of(&pipe);
        let lanes = of_pipe.lanes.acquire_many(LANES as u32).await;
        let mut first = Box::pin(of_pipe.publish(&broker, vec![message(); MAX_WAITING]));
        assert!(futures::poll!(&mut first).is_pending());
        let more = windows.of(&pipe);
        let more = more.publish(&broker, vec![message()]).now_or_never();
        let more = more.expect("the answer comes at once");
        assert!(matches!(more[..], [Err(BrokerError::Stalled(_))]));
        let other = Queue::Pipe("other".into());
        let elsewhere = Outgoing {
            queue: other.clone(),
            ..message()
        };
        assert_eq!(
            windows.of(&other).publish(&broker, vec![elsewhere]).await,
            [Ok(())]
        );
        drop(lanes);
        assert_eq!(first.await.len(), MAX_WAITING);
    }

    #[test]
    fn what_waits_for_a_queue_is_bounded_in_bytes() {
        let parcel = |bytes: usize| Parcel {
            messages: vec![Outgoing {
                body: vec![0; bytes].into(),
                ..message()
            }],
            reply: oneshot::channel().0,
        };
        let mut waiting = Waiting::default();
        assert!(waiting.push(parcel(MAX_WAITING_BYTES - 1)));
        assert!(waiting.push(parcel(1)));
        assert!(!waiting.push(parcel(1)));
        assert_eq!(waiting.take().len(), 2);
        assert!(waiting.push(parcel(1)));
    }
}
