//! When the next timers and leases of this process's shards end. The loops of all shards look at
//! the same moments, so that the first of them reads it for all in one statement.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use headway_store::{NextDue, Store, StoreError};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, Interval, MissedTickBehavior},
};

/// How old a shared look may be: from its beginning to the moment at which a loop asks for it.
const FRESH: Duration = Duration::from_millis(100);

/// The looks of a process; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Looks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    every: Duration,
    last: Mutex<Last>,
}

/// The last look at all shards.
#[derive(Debug, Default)]
struct Last {
    /// The shards that have a loop in this process.
    shards: BTreeSet<u16>,
    /// When it began.
    at: Option<Instant>,
    /// What it found and no loop has taken yet.
    found: BTreeMap<u16, NextDue>,
}

/// Where a loop gets to know when its shard's next timer and lease end.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// From the last look.
    Last(NextDue),
    /// From a look at its shard alone: the last look is older than what the loop knows.
    Alone,
    /// From a look at all shards.
    All(Vec<u16>),
}

impl Looks {
    /// Looks that are made so often.
    pub(crate) fn new(every: Duration) -> Self {
        Self(Arc::new(Shared {
            begun: Instant::now(),
            every,
            last: Mutex::default(),
        }))
    }

    /// A shard has a loop in this process.
    pub(crate) async fn begin(&self, shard: u16) {
        self.0.last.lock().await.shards.insert(shard);
    }

    /// The loop of a shard has ended.
    pub(crate) async fn end(&self, shard: u16) {
        self.0.last.lock().await.shards.remove(&shard);
    }

    /// Ticks when a loop is to look: at the same moments for every loop of the process.
    pub(crate) fn ticks(&self) -> Interval {
        let Shared { begun, every, .. } = *self.0;
        let over = begun.elapsed().as_nanos() % every.as_nanos().max(1);
        let over = Duration::from_nanos(u64::try_from(over).unwrap_or(0));
        let mut ticks = tokio::time::interval_at(Instant::now() + every - over, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    /// When the shard's next timer and lease end, read after `since`.
    pub(crate) async fn next_due(
        &self,
        store: &Store,
        shard: u16,
        since: Instant,
    ) -> Result<NextDue, StoreError> {
        let (source, mut last) = self.source(shard, since).await;
        match source {
            Source::Last(due) => Ok(due),
            Source::Alone => {
                drop(last);
                store.next_due(shard).await
            }
            Source::All(shards) => {
                // The others wait for what this finds. Where it fails, each of them reads its own
                // shard, all at once.
                (last.at, last.found) = (Some(Instant::now()), BTreeMap::new());
                last.found = store.next_due_of_all(&shards).await?;
                Ok(last.found.remove(&shard).unwrap_or_default())
            }
        }
    }

    /// Where to read from. A loop that waited while another loop read takes that loop's result,
    /// however long the read took.
    async fn source(&self, shard: u16, since: Instant) -> (Source, MutexGuard<'_, Last>) {
        let asked = Instant::now();
        let mut last = self.0.last.lock().await;
        let fresh = FRESH.min(self.0.every / 2);
        let source = last.source(shard, since, asked, fresh);
        (source, last)
    }
}

impl Last {
    fn source(&mut self, shard: u16, since: Instant, asked: Instant, fresh: Duration) -> Source {
        let Some(at) = self.at.filter(|at| asked < *at + fresh) else {
            let mut shards = self.shards.clone();
            shards.insert(shard);
            return Source::All(shards.into_iter().collect());
        };
        let found = self.found.remove(&shard).filter(|_| since <= at);
        found.map_or(Source::Alone, Source::Last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn due(timer: i64) -> NextDue {
        NextDue {
            timer: Some(timer),
            lease: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_loop_looks_for_all_and_the_others_take_what_it_found() {
        let begun = Instant::now();
        let at = begun + 10 * MS;
        let mut last = Last {
            shards: [1, 2, 3].into(),
            ..Last::default()
        };
        let mut source = |shard, since, now| last.source(shard, since, now, FRESH);
        assert_eq!(source(2, begun, at), Source::All(vec![1, 2, 3]));
        last.at = Some(at);
        last.found = [(1, due(10)), (3, due(30))].into();
        let mut source = |shard, since, now| last.source(shard, since, now, FRESH);
        let now = at + MS;
        assert_eq!(source(1, begun, now), Source::Last(due(10)));
        assert_eq!(source(1, begun, now), Source::Alone, "it was taken");
        // A loop that applied something since knows of timers that the look did not see.
        assert_eq!(source(3, at + MS, now), Source::Alone);
        let later = at + FRESH;
        assert_eq!(source(4, begun, later), Source::All(vec![1, 2, 3, 4]));
    }

    #[tokio::test(start_paused = true)]
    async fn loops_take_what_they_waited_for_however_long_it_took() {
        let looks = Looks::new(1000 * MS);
        let since = Instant::now();
        let mut last = looks.0.last.lock().await;
        (last.at, last.found) = (Some(since), [(1, due(10))].into());
        let mut found = Box::pin(looks.source(1, since));
        let mut failed = Box::pin(looks.source(2, since));
        for waiting in [&mut found, &mut failed] {
            let answer = tokio::time::timeout(Duration::ZERO, waiting);
            assert!(answer.await.is_err(), "another loop looks");
        }
        tokio::time::advance(10_000 * MS).await;
        drop(last);
        assert_eq!(found.await.0, Source::Last(due(10)));
        // What a look did not bring is read by each loop alone, and not by one look after the
        // other.
        assert_eq!(failed.await.0, Source::Alone);
    }

    #[tokio::test(start_paused = true)]
    async fn loops_that_began_at_different_times_look_at_the_same_moments() {
        let looks = Looks::new(1000 * MS);
        for _ in 0..3 {
            tokio::time::advance(370 * MS).await;
            let mut ticks = looks.ticks();
            for _ in 0..2 {
                let at = ticks.tick().await - looks.0.begun;
                assert_eq!(at.as_millis() % 1000, 0, "{at:?}");
                assert!(looks.0.begun.elapsed() < at + 2 * MS);
            }
        }
    }
}
