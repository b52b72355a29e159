//! The hub's ear: one subscription to job events, made again whenever it is lost.

use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Duration};

use headway_broker::{Broker, BrokerError, Subscription, Topic};
use headway_relay::codec;
use headway_retry::Backoff;
use headway_store::Change;
use tokio::time::Sleep;

/// The first and the longest delay between two tries to subscribe.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

type Subscribing = Pin<Box<dyn Future<Output = Result<Box<dyn Subscription>, BrokerError>> + Send>>;

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A job changed.
    Changed(Change),
    /// Events may have been lost: what is watched should be compared with the database.
    MaybeLost,
}

/// A subscription that repairs itself and listens only to the keys of watched jobs.
pub(super) struct Feed {
    broker: Arc<dyn Broker>,
    wanted: BTreeSet<u8>,
    state: State,
    backoff: Backoff,
}

enum State {
    Idle,
    Connecting(Subscribing),
    Live {
        subscription: Box<dyn Subscription>,
        keys: BTreeSet<u8>,
    },
    Waiting(Pin<Box<Sleep>>),
}

impl Feed {
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            wanted: BTreeSet::new(),
            state: State::Idle,
            backoff: Backoff::new(RETRY.0, RETRY.1),
        }
    }

    /// Listens to exactly these keys from now on; at once if there is a subscription, else as soon as there is
    /// one. Not safe to cancel.
    pub(super) async fn listen(&mut self, wanted: &BTreeSet<u8>) {
        if self.wanted != *wanted {
            self.wanted.clone_from(wanted);
        }
        let State::Live { subscription, keys } = &mut self.state else {
            return;
        };
        if *keys == self.wanted {
            return;
        }
        let list: Vec<u8> = self.wanted.iter().copied().collect();
        match subscription.set_keys(&list).await {
            Ok(()) => keys.clone_from(&self.wanted),
            Err(error) => self.lost(&error),
        }
    }

    /// The next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            match &mut self.state {
                State::Idle => {
                    let broker = Arc::clone(&self.broker);
                    // Keys are set once it is there: they may change in the meantime.
                    self.state = State::Connecting(Box::pin(async move {
                        broker.subscribe(Topic::Events, &[]).await
                    }));
                }
                State::Connecting(connecting) => match connecting.await {
                    Ok(subscription) => {
                        self.backoff.reset();
                        self.state = State::Live {
                            subscription,
                            keys: BTreeSet::new(),
                        };
                        return Heard::MaybeLost;
                    }
                    Err(error) => self.lost(&error),
                },
                State::Live { subscription, .. } => match subscription.next().await {
                    Ok(Some(body)) => match codec::decode_change(body) {
                        Ok(change) => return Heard::Changed(change),
                        Err(error) => tracing::warn!(%error, "an event cannot be read"),
                    },
                    Ok(None) => return Heard::MaybeLost,
                    Err(error) => self.lost(&error),
                },
                State::Waiting(delay) => {
                    delay.await;
                    self.state = State::Idle;
                }
            }
        }
    }

    fn lost(&mut self, error: &BrokerError) {
        let delay = self.backoff.next();
        tracing::debug!(%error, ?delay, "not subscribed to job events, trying again");
        self.state = State::Waiting(Box::pin(tokio::time::sleep(delay)));
    }
}

#[cfg(test)]
mod tests {
    use headway_broker::InProcessBroker;
    use headway_domain::JobUid;
    use uuid::Uuid;

    use super::*;

    fn change(last: u8, revision: i64) -> Change {
        let mut bytes = [7; 16];
        bytes[15] = last;
        Change {
            partition: "p".to_owned().try_into().unwrap(),
            uid: JobUid(Uuid::from_bytes(bytes)),
            revision,
            time: 0,
            deleted: false,
        }
    }

    #[tokio::test]
    async fn only_wanted_keys_are_heard() {
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
        let mut feed = Feed::new(Arc::clone(&broker));
        // Wanted before there is a subscription: the first thing heard says that one was made.
        feed.listen(&BTreeSet::from([3])).await;
        assert!(matches!(feed.next().await, Heard::MaybeLost));
        feed.listen(&BTreeSet::from([3])).await;
        for (key, revision) in [(4, 1), (3, 2)] {
            let body = codec::encode_change(&change(key, revision));
            broker.broadcast(Topic::Events, key, body).await;
        }
        match feed.next().await {
            Heard::Changed(heard) => assert_eq!(heard, change(3, 2)),
            Heard::MaybeLost => panic!("nothing was lost"),
        }
        feed.listen(&BTreeSet::new()).await;
        let body = codec::encode_change(&change(3, 3));
        broker.broadcast(Topic::Events, 3, body).await;
        let silence = tokio::time::timeout(Duration::from_millis(20), feed.next()).await;
        assert!(silence.is_err());
    }
}
