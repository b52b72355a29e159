//! Sharing windows: messages that come while others wait for their confirms go out together in the next window, so that
//! many small publishes cost the broker as little as a large one.

use std::sync::{Mutex, PoisonError};

use headway_broker::{Broker, BrokerError, Outgoing};
use tokio::sync::{Semaphore, oneshot};

/// Windows under way at once: while one waits for a slow queue, the others go on.
const LANES: usize = 2;
/// Messages that are gathered into one window at most, unless one caller brings more.
const GATHERED: usize = 1000;

type Results = Vec<Result<(), BrokerError>>;

/// What one caller publishes.
#[derive(Debug)]
struct Parcel {
    messages: Vec<Outgoing>,
    reply: oneshot::Sender<Results>,
}

/// The parcels that wait for a window. As many at most as there are callers: each waits for its own.
#[derive(Debug)]
pub(crate) struct Windows {
    waiting: Mutex<Vec<Parcel>>,
    lanes: Semaphore,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            lanes: Semaphore::new(LANES),
        }
    }
}

impl Windows {
    /// Publishes the messages, together with whatever others publish now; one result a message, in order.
    pub(crate) async fn publish(&self, broker: &dyn Broker, messages: Vec<Outgoing>) -> Results {
        let count = messages.len();
        let (reply, mut answer) = oneshot::channel();
        self.lock().push(Parcel { messages, reply });
        loop {
            let lane = tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|_| dropped(count)),
                lane = self.lanes.acquire() => lane,
            };
            let parcels = self.take();
            if parcels.is_empty() {
                // Somebody took these along.
                drop(lane);
                return answer.await.unwrap_or_else(|_| dropped(count));
            }
            send(broker, parcels).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Parcel>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest parcels, up to a window's messages; at least one if there is any.
    fn take(&self) -> Vec<Parcel> {
        let mut waiting = self.lock();
        let mut messages = 0;
        let fits = |parcel: &&Parcel| {
            messages += parcel.messages.len();
            messages <= GATHERED
        };
        let count = waiting.iter().take_while(fits).count();
        let count = count.max(1).min(waiting.len());
        waiting.drain(..count).collect()
    }
}

async fn send(broker: &dyn Broker, parcels: Vec<Parcel>) {
    let mut all = Vec::new();
    let mut replies = Vec::with_capacity(parcels.len());
    for parcel in parcels {
        replies.push((parcel.messages.len(), parcel.reply));
        all.extend(parcel.messages);
    }
    let mut results = broker.publish(all).await.into_iter();
    for (count, reply) in replies {
        // A caller that went away leaves its messages in the outbox, and the sweep sends them again.
        let _ = reply.send(results.by_ref().take(count).collect());
    }
}

/// Whoever had taken these messages along went away before it knew what became of them.
fn dropped(count: usize) -> Results {
    let reason = "the window was given up";
    vec![Err(BrokerError::Unavailable(reason.into())); count]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures::future::join_all;
    use headway_broker::{Queue, in_process::InProcessBroker};

    use super::*;

    fn message(queue: &str) -> Outgoing {
        Outgoing {
            queue: Queue::Pipe(queue.to_owned()),
            body: Bytes::from_static(b"x"),
        }
    }

    #[tokio::test]
    async fn each_caller_gets_the_results_of_its_own_messages() {
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
        let windows = Windows::default();
        let callers = (0..50).map(|caller| {
            let mut messages = vec![message("p"); caller % 4];
            // Too large for any pipe: refused, and nobody else's business.
            if caller % 5 == 0 {
                let body = Bytes::from(vec![0; 64 << 20]);
                messages.push(Outgoing {
                    body,
                    ..message("p")
                });
            }
            let expected: Vec<bool> = messages
                .iter()
                .map(|message| message.body.len() == 1)
                .collect();
            let (windows, broker) = (&windows, broker.as_ref());
            async move {
                let results = windows.publish(broker, messages).await;
                let taken: Vec<bool> = results.iter().map(Result::is_ok).collect();
                assert_eq!(taken, expected, "caller {caller}");
                taken.into_iter().filter(|taken| *taken).count() as u64
            }
        });
        let sent: u64 = join_all(callers).await.into_iter().sum();
        let depth = broker.depth(&Queue::Pipe("p".into())).await;
        assert_eq!(depth.map(|depth| depth.ready), Ok(sent));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_stops_nobody() {
        let broker = InProcessBroker::new();
        let windows = Windows::default();
        let lanes = windows.lanes.acquire_many(LANES as u32).await;
        let mut gone = Box::pin(windows.publish(&broker, vec![message("p")]));
        assert!(futures::poll!(&mut gone).is_pending());
        drop(gone);
        drop(lanes);
        let results = windows.publish(&broker, vec![message("p")]).await;
        assert_eq!(results, [Ok(())]);
        let depth = broker.depth(&Queue::Pipe("p".into())).await;
        assert_eq!(depth.map(|depth| depth.ready), Ok(2));
    }
}
