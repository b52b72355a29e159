//! How far a shard has heard its report queue. A lease must not end while the heartbeat that renews
//! it waits in the queue, and no look at a queue proves that nothing waits: the broker delivers no
//! more than the prefetch, and may be about to deliver more. So a shard publishes a *fence* to its
//! own queue. When it comes back, everything reported before it is applied.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headway_broker::{Broker, Outgoing, Queue};
use headway_domain::Micros;
use headway_relay::codec::encode_fence_report;
use tokio::time::Instant;
use uuid::Uuid;

/// Fences that may be under way. When there are this many, every other one is forgotten.
const MAX_UNDER_WAY: usize = 64;
/// The pause before the next fence when one does not come back; it doubles up to the second value.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// What one shard loop has heard.
pub(crate) struct Hearing {
    shard: u16,
    /// Fences under way, each with the time before it was published.
    under_way: VecDeque<(Uuid, Micros)>,
    /// Everything that was reported before this time is applied.
    until: Option<Micros>,
    /// When another fence may follow one that does not come back.
    next: Option<Instant>,
    pause: Duration,
    publishing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Hearing {
    pub(crate) fn new(shard: u16) -> Self {
        Self {
            shard,
            under_way: VecDeque::new(),
            until: None,
            next: None,
            pause: PAUSE.0,
            publishing: None,
        }
    }

    /// The time up to which all reports are applied.
    pub(crate) fn until(&self) -> Option<Micros> {
        self.until
    }

    /// Whether everything is applied that was reported before `time`.
    pub(crate) fn reaches(&self, time: Micros) -> bool {
        self.until.is_some_and(|until| time <= until)
    }

    /// Publishes a fence, unless one is under way that may still come back. Drive it with
    /// [`Hearing::published`].
    pub(crate) fn ask(&mut self, broker: &Arc<dyn Broker>, now: Micros) {
        let waits = self.next.is_some_and(|next| Instant::now() < next);
        if waits || self.publishing.is_some() {
            return;
        }
        self.next = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
        if self.under_way.len() == MAX_UNDER_WAY {
            let mut position = 0;
            self.under_way.retain(|_| {
                position += 1;
                position % 2 == 1
            });
        }
        let id = Uuid::new_v4();
        self.under_way.push_back((id, now));
        self.publishing = Some(Box::pin(publish(broker.clone(), self.shard, id)));
    }

    /// Waits until the fence is published; forever where none is being published. Cancel-safe.
    pub(crate) async fn published(&mut self) {
        match &mut self.publishing {
            Some(publishing) => publishing.await,
            None => std::future::pending().await,
        }
        self.publishing = None;
    }

    /// Takes fences that came back; everything delivered before them must be applied. Whether one
    /// of them is of this loop.
    pub(crate) fn returned(&mut self, fences: &[Uuid]) -> bool {
        let newest = self
            .under_way
            .iter()
            .rposition(|(id, _)| fences.contains(id));
        let Some(newest) = newest else { return false };
        // Those published earlier came out earlier, or are lost.
        let passed = self.under_way.drain(..=newest);
        let until = passed.map(|(_, time)| time).max();
        self.until = self.until.max(until);
        self.next = None;
        self.pause = PAUSE.0;
        true
    }
}

/// Publishes a fence where this process alone consumes the queue. Another consumer, as of a process
/// that was frozen, may hold reports that were published before; they come back to the queue,
/// before the fence, when the broker closes its connection.
async fn publish(broker: Arc<dyn Broker>, shard: u16, id: Uuid) {
    let queue = Queue::Reports(shard);
    match broker.depth(&queue).await {
        Ok(depth) if depth.consumers <= 1 => {}
        Ok(depth) => {
            let consumers = depth.consumers;
            return tracing::info!(
                shard,
                consumers,
                "another process consumes the reports of this shard; no lease of the shard expires meanwhile"
            );
        }
        Err(error) => {
            return tracing::warn!(%error, shard, "cannot read the depth of the report queue; no lease of the shard expires meanwhile");
        }
    }
    let fence = Outgoing {
        queue,
        body: encode_fence_report(id),
    };
    for result in broker.publish(vec![fence]).await {
        if let Err(error) = result {
            tracing::warn!(%error, shard, "cannot publish a fence to the report queue; no lease of the shard expires meanwhile");
        }
    }
}

/// How far the shards of this process have heard their queues, and how far others of its tasks want
/// them to hear.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<BTreeMap<u16, State>>>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    until: Option<Micros>,
    wanted: Option<Micros>,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard's loop begins.
    pub(crate) fn begin(&self, shard: u16) {
        self.lock().insert(shard, State::default());
    }

    /// A shard's loop has ended: nobody hears it here.
    pub(crate) fn end(&self, shard: u16) {
        self.lock().remove(&shard);
    }

    /// The shards that this process tracks.
    pub(crate) fn shards(&self) -> Vec<u16> {
        self.lock().keys().copied().collect()
    }

    /// Says how far a shard has heard.
    pub(crate) fn set(&self, shard: u16, until: Option<Micros>) {
        if let Some(state) = self.lock().get_mut(&shard) {
            state.until = state.until.max(until);
        }
    }

    /// Up to where somebody wants the shard to hear, if that is further than it has.
    pub(crate) fn wanted(&self, shard: u16) -> Option<Micros> {
        let state = self.lock().get(&shard).copied().unwrap_or_default();
        state.wanted.filter(|wanted| state.until < Some(*wanted))
    }

    /// Asks a shard to hear what was reported before `time`; up to where it has heard so far.
    pub(crate) fn ask(&self, shard: u16, time: Micros) -> Option<Micros> {
        let mut shards = self.lock();
        let state = shards.get_mut(&shard)?;
        state.wanted = state.wanted.max(Some(time));
        state.until
    }
}

#[cfg(test)]
mod tests {
    use headway_broker::InProcessBroker;

    use super::*;

    async fn ready(broker: &dyn Broker) -> u64 {
        broker.depth(&Queue::Reports(3)).await.unwrap().ready
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_hears_up_to_the_fence_that_came_back() {
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
        let mut hearing = Hearing::new(3);
        assert!(!hearing.reaches(0));
        hearing.ask(&broker, 100);
        hearing.published().await;
        assert_eq!(ready(broker.as_ref()).await, 1);
        // One is under way.
        hearing.ask(&broker, 110);
        assert!(hearing.publishing.is_none());
        assert!(!hearing.returned(&[Uuid::new_v4()]));
        let (first, _) = hearing.under_way[0];
        // It is late: another follows, and either proves what was published before it.
        tokio::time::advance(PAUSE.0).await;
        hearing.ask(&broker, 200);
        hearing.published().await;
        assert_eq!(hearing.under_way.len(), 2);
        assert!(hearing.returned(&[first]));
        assert!(hearing.reaches(100) && !hearing.reaches(101));
        let (second, _) = hearing.under_way[0];
        assert!(hearing.returned(&[second]));
        assert_eq!(hearing.until(), Some(200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_with_another_consumer_publishes_no_fence() {
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
        let _ours = broker.consume(&Queue::Reports(3), 1).await.unwrap();
        let other = broker.consume(&Queue::Reports(3), 1).await.unwrap();
        let mut hearing = Hearing::new(3);
        hearing.ask(&broker, 100);
        hearing.published().await;
        assert_eq!(ready(broker.as_ref()).await, 0);
        drop(other);
        tokio::time::advance(PAUSE.0).await;
        hearing.ask(&broker, 200);
        hearing.published().await;
        let depth = broker.depth(&Queue::Reports(3)).await.unwrap();
        assert_eq!(depth.consumers, 1);
        assert_eq!(hearing.under_way.len(), 2);
    }

    #[test]
    fn what_others_want_is_asked_for_until_it_is_heard() {
        let heard = Heard::default();
        assert_eq!((heard.ask(1, 5), heard.wanted(1)), (None, None));
        heard.begin(1);
        assert_eq!((heard.ask(1, 5), heard.wanted(1)), (None, Some(5)));
        heard.set(1, Some(7));
        assert_eq!(heard.wanted(1), None);
        assert_eq!((heard.ask(1, 9), heard.wanted(1)), (Some(7), Some(9)));
        heard.end(1);
        assert!(heard.wanted(1).is_none() && heard.shards().is_empty());
    }
}
