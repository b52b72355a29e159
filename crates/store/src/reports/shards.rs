//! Who tracks which shard: claims with an end, renewed while their owner lives. Claims spread the
//! work; correctness rests on the jobs' row locks alone.

use headway_domain::Micros;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{
    db::{Db, Durability, keys},
    error::StoreError,
    ground::numbers::unsigned,
    store::Store,
};

/// The shards that a tracking process holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Their numbers, ascending.
    pub shards: Vec<u16>,
}

#[derive(Debug, FromQueryResult)]
struct ClaimRow {
    shard: i64,
    owner: Vec<u8>,
    until: i64,
}

#[derive(Debug, FromQueryResult)]
struct OwnerRow {
    owner: Vec<u8>,
}

/// How many shards the owner of this rank holds: where they cannot be shared evenly, the first
/// ranks hold one more.
fn part(shards: usize, alive: usize, rank: usize) -> usize {
    let alive = alive.max(1);
    shards / alive + usize::from(rank < shards % alive)
}

impl Db {
    /// Ends every claim. For a database that one process has to itself: the processes that held
    /// claims before are dead.
    pub(crate) async fn free_shards(&self) -> Result<(), StoreError> {
        let tx = self.write(Durability::Process).await?;
        self.run(&*tx, "DELETE FROM tracker", []).await?;
        self.run(&*tx, "UPDATE shard_claim SET until = 0", [])
            .await?;
        tx.commit().await
    }
}

impl Store {
    /// How many logical shards there are.
    pub fn shards(&self) -> u16 {
        self.db.shards
    }

    /// Renews a tracking process's presence and claims for `ttl`, takes free shards up to its even
    /// part, and gives up what is above it. The result is what it holds now.
    pub async fn claim_shards(&self, owner: Uuid, ttl: Micros) -> Result<Claims, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let (me, now) = (owner.as_bytes().to_vec(), db.now());
        // The presence row of the process is locked first, and claims in the order of their
        // numbers: no deadlock.
        let sql = "INSERT INTO tracker (owner, until) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET until = excluded.until";
        db.run(&*tx, sql, [me.clone().into(), (now + ttl).into()])
            .await?;
        db.run(
            &*tx,
            "DELETE FROM tracker WHERE until < $1 AND owner <> $2",
            [(now - ttl).into(), me.clone().into()],
        )
        .await?;
        let sql = "SELECT owner FROM tracker WHERE until >= $1 ORDER BY owner";
        let alive: Vec<OwnerRow> = db.all(&*tx, sql, [now.into()]).await?;
        let rank = alive.iter().position(|row| row.owner == me).unwrap_or(0);
        let part = part(usize::from(db.shards), alive.len(), rank);
        let sql = format!(
            "SELECT shard, owner, until FROM shard_claim ORDER BY shard{}",
            db.for_update()
        );
        let claims: Vec<ClaimRow> = db.all(&*tx, sql, []).await?;
        let mut mine: Vec<i64> = claims
            .iter()
            .filter(|claim| claim.owner == me && claim.until >= now)
            .map(|claim| claim.shard)
            .collect();
        for claim in &claims {
            let free = claim.until < now;
            if free && mine.len() < part && !mine.contains(&claim.shard) {
                mine.push(claim.shard);
            }
        }
        mine.sort_unstable();
        mine.truncate(part);
        let held = claims.iter().filter(|claim| claim.owner == me);
        let above: Vec<i64> = held
            .map(|claim| claim.shard)
            .filter(|shard| !mine.contains(shard))
            .collect();
        let sql = format!(
            "UPDATE shard_claim SET owner = $2, until = $3 WHERE {}",
            db.is_in("shard", 1)
        );
        for (shards, until) in [(&mine, now + ttl), (&above, 0)] {
            if !shards.is_empty() {
                let shards = keys::ints(shards.iter().copied());
                db.run(&*tx, &sql, [shards, me.clone().into(), until.into()])
                    .await?;
            }
        }
        tx.commit().await?;
        let shards = mine.into_iter().map(unsigned).collect::<Result<_, _>>()?;
        Ok(Claims { shards })
    }

    /// Gives up every claim of a process that ends, so that others need not wait for its end.
    pub async fn release_shards(&self, owner: Uuid) -> Result<(), StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let me = owner.as_bytes().to_vec();
        db.run(
            &*tx,
            "DELETE FROM tracker WHERE owner = $1",
            [me.clone().into()],
        )
        .await?;
        db.run(
            &*tx,
            "UPDATE shard_claim SET until = 0 WHERE owner = $1",
            [me.into()],
        )
        .await?;
        tx.commit().await
    }
}

impl Db {
    /// Makes the rows of shard claims.
    pub(crate) async fn seed_shards(&self) -> Result<(), StoreError> {
        let tx = self.write(Durability::Full).await?;
        for shard in 0..self.shards {
            let sql = "INSERT INTO shard_claim (shard, owner, until) VALUES ($1, $2, 0) ON CONFLICT (shard) DO NOTHING";
            self.run(&*tx, sql, [i64::from(shard).into(), vec![0u8; 16].into()])
                .await?;
        }
        tx.commit().await
    }
}
