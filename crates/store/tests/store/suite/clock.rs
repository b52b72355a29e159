//! Nothing that cannot be undone follows from a jump of the machine's clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use headway_domain::reports::ItemEvent;
use headway_store::{Store, StoreConfig, SystemClock, TimeSource};

use crate::suite::{
    Fixture, batch,
    driver::{Driver, Tree, flat},
};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// The machine's clocks, moved by a test.
#[derive(Debug, Default)]
struct Moved {
    real: SystemClock,
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl Moved {
    /// Steps the wall clock.
    fn step(&self, micros: i64) {
        self.wall.fetch_add(micros, Ordering::Relaxed);
    }

    /// Lets time pass.
    fn pass(&self, micros: i64) {
        self.step(micros);
        self.monotonic.fetch_add(micros, Ordering::Relaxed);
    }
}

impl TimeSource for Moved {
    fn wall(&self) -> i64 {
        self.real.wall() + self.wall.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        let moved = self.monotonic.load(Ordering::Relaxed).unsigned_abs();
        self.real.monotonic() + Duration::from_micros(moved)
    }
}

/// How many deadlines, leases and retentions are over.
async fn fired(store: &Store, shard: u16) -> [usize; 3] {
    let (jobs, _) = store.fire_jobs().await.unwrap();
    let (items, _) = store.fire_items(shard, i64::MAX).await.unwrap();
    let (expired, _) = store.expire_jobs().await.unwrap();
    [&jobs, &items, &expired].map(|committed| committed.changes.len())
}

pub(crate) async fn a_jump_fires_nothing(f: Fixture) {
    let time = Arc::new(Moved::default());
    let config = StoreConfig {
        time: time.clone(),
        ..f.config.clone()
    };
    let store = Store::connect(&config).await.unwrap();
    let mut driver = Driver::new(&store);
    let leased = driver.begin(batch(), Tree::new(flat(1))).await;
    let tasks = driver.take_tasks();
    driver.answer(&tasks, |_| ItemEvent::Leased).await;
    let late = driver.begin(batch(), Tree::new(flat(1))).await;
    driver.tasks.clear();
    let ended = driver.begin(batch(), Tree::new(flat(1))).await;
    driver.finish_well(&ended).await;
    let shard = driver.job(&leased).await.meta.shard;
    let soon = store.now() + HOUR / 2;
    for (key, column) in [(late.key, "deadline"), (ended.key, "expires")] {
        f.sql(format!(
            "UPDATE job_progress SET {column} = {soon} WHERE job_key = {key}"
        ))
        .await;
    }
    f.sql(format!("UPDATE item SET lease_until = {soon}")).await;

    for step in [HOUR, -2 * HOUR, HOUR] {
        time.step(step);
        assert_eq!(
            fired(&store, shard).await,
            [0, 0, 0],
            "after a step of {step} us"
        );
        store.sync_clock().await.unwrap();
        assert_eq!(fired(&store, shard).await, [0, 0, 0]);
        assert!((store.now() - f.store.now()).abs() < MINUTE);
    }
    if f.is_postgres() {
        // The clock of this machine is nobody's there.
        time.step(HOUR);
        time.monotonic.fetch_add(2 * MINUTE, Ordering::Relaxed);
        assert_eq!(fired(&store, shard).await, [0, 0, 0]);
        return;
    }
    // A step that stays is the new time. Workers then have a lease's time to renew their leases.
    time.step(HOUR);
    assert_eq!(fired(&store, shard).await, [0, 0, 0]);
    time.pass(2 * MINUTE);
    assert_eq!(fired(&store, shard).await, [1, 0, 1]);
    time.pass(HOUR);
    assert_eq!(fired(&store, shard).await, [0, 1, 0]);
}
