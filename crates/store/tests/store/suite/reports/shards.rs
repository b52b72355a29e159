//! Claims of shards.

use std::collections::BTreeSet;

use headway_store::Store;
use uuid::Uuid;

use crate::suite::Fixture;

const HOUR: i64 = 3_600_000_000;

async fn claim(store: &Store, owner: Uuid) -> BTreeSet<u16> {
    let claims = store.claim_shards(owner, HOUR).await.unwrap();
    assert!(claims.shards.is_sorted_by(|a, b| a < b));
    claims.shards.into_iter().collect()
}

/// Lets owners claim in turn until nothing moves.
async fn rounds(store: &Store, owners: &[Uuid]) -> Vec<BTreeSet<u16>> {
    let mut held = vec![BTreeSet::new(); owners.len()];
    for _ in 0..2 * owners.len() {
        let before = held.clone();
        for (held, owner) in held.iter_mut().zip(owners) {
            *held = claim(store, *owner).await;
        }
        if held == before {
            return held;
        }
    }
    panic!("claims do not come to rest: {held:?}")
}

fn all_once(held: &[BTreeSet<u16>], shards: u16) {
    let sum: usize = held.iter().map(BTreeSet::len).sum();
    let union: BTreeSet<u16> = held.iter().flatten().copied().collect();
    assert_eq!(union, (0..shards).collect());
    assert_eq!(sum, usize::from(shards), "a shard has two owners: {held:?}");
}

pub(crate) async fn even_parts(f: Fixture) {
    let shards = f.store.shards();
    assert_eq!(shards, 16);
    let owners: Vec<_> = (0..3).map(|_| Uuid::new_v4()).collect();
    let held = rounds(&f.store, &owners[..1]).await;
    all_once(&held, shards);
    let held = rounds(&f.store, &owners[..2]).await;
    all_once(&held, shards);
    assert!(held.iter().all(|held| held.len() == 8));
    let held = rounds(&f.store, &owners).await;
    all_once(&held, shards);
    assert!(held.iter().all(|held| (4..=6).contains(&held.len())));
    // Nothing moves without need.
    assert_eq!(rounds(&f.store, &owners).await, held);
}

pub(crate) async fn the_dead_are_replaced(f: Fixture) {
    let owners = [Uuid::new_v4(), Uuid::new_v4()];
    rounds(&f.store, &owners).await;
    assert_eq!(claim(&f.store, owners[0]).await.len(), 8);
    let dead = owners[1].simple();
    let bytes = if f.is_postgres() {
        format!("'\\x{dead}'")
    } else {
        format!("x'{dead}'")
    };
    for table in ["tracker", "shard_claim"] {
        f.sql(format!(
            "UPDATE {table} SET until = until - {} WHERE owner = {bytes}",
            3 * HOUR
        ))
        .await;
    }
    let held = vec![claim(&f.store, owners[0]).await];
    all_once(&held, 16);
    // It was only asleep: it takes nothing that is held, and gets its part back.
    assert!(claim(&f.store, owners[1]).await.is_empty());
    let held = rounds(&f.store, &owners).await;
    all_once(&held, 16);
    assert!(held.iter().all(|held| held.len() == 8));
}

pub(crate) async fn release_is_at_once(f: Fixture) {
    let owners = [Uuid::new_v4(), Uuid::new_v4()];
    rounds(&f.store, &owners).await;
    f.store.release_shards(owners[0]).await.unwrap();
    let held = vec![claim(&f.store, owners[1]).await];
    all_once(&held, 16);
    assert_eq!(f.count("tracker").await, 1);
}

pub(crate) async fn claims_at_once(f: Fixture) {
    let owners: Vec<_> = (0..5).map(|_| Uuid::new_v4()).collect();
    let mut claiming = tokio::task::JoinSet::new();
    for owner in owners.clone() {
        let store = f.another().await;
        claiming.spawn(async move {
            for _ in 0..6 {
                claim(&store, owner).await;
            }
        });
    }
    while let Some(done) = claiming.join_next().await {
        done.unwrap();
    }
    let held = rounds(&f.store, &owners).await;
    all_once(&held, 16);
    assert!(held.iter().all(|held| (1..=4).contains(&held.len())));
}
