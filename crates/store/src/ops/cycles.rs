//! Jobs that would wait for themselves: a creation or a retry that would close such a cycle is refused.

use std::collections::{BTreeMap, btree_map::Entry};

use headway_domain::{JobName, job::Phase};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::prerequisites::PrerequisiteState;
use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    rows::job::phase_code,
};

/// Jobs looked at in search of a cycle at most: beyond that a chain counts as one that ends.
const SEARCHED: usize = 100_000;
/// Jobs of a cycle that are named at most.
const NAMED: usize = 20;

/// Which jobs count as needing others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needing {
    /// Those that wait for them.
    Waiting,
    /// Those that have ended too, with all that was not complete for them: when each job that failed is to wait again, two that need
    /// each other would do so for ever.
    Any,
}

#[derive(Debug, FromQueryResult)]
struct Edge {
    job_id: String,
    needed: String,
}

#[derive(Debug, FromQueryResult)]
struct Needed {
    needed: String,
}

impl Db {
    /// Waits until nobody else lets jobs begin to wait in this partition: two that do so at once could close a cycle that neither
    /// sees. Comes before all other locks of a transaction. SQLite has one writer.
    pub(crate) async fn take_turns(&self, tx: &Tx<'_>, partition: &str) -> Result<(), StoreError> {
        if !self.is_sqlite() {
            let sql =
                "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1, 0))";
            let statement = self.statement(sql, [partition.into()]);
            (**tx).query_one_raw(statement).await?;
        }
        Ok(())
    }

    /// Whether a job would wait again if it was retried. What it needed and was complete stays so, thus a "no" stays true.
    pub(crate) async fn would_wait_again(&self, key: i64) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) AS value FROM ( \
                     SELECT 1 AS one FROM prerequisite WHERE job_key = $1 AND state <> 1 LIMIT 1) AS unmet";
        Ok(self.one_int(self.reader(), sql, [key.into()]).await? == Some(1))
    }

    /// The cycle that a job would close if it waited again for what was not complete.
    pub(crate) async fn cycle_of_retry(
        &self,
        tx: &Tx<'_>,
        name: &JobName,
        key: i64,
        needing: Needing,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let sql = "SELECT needed FROM prerequisite WHERE job_key = $1 AND state <> 1";
        let unmet: Vec<Needed> = self.all(&**tx, sql, [key.into()]).await?;
        let unmet = unmet.into_iter().map(|row| row.needed).collect();
        self.cycle(tx, name, unmet, needing).await
    }

    /// The cycle that a job would close by waiting for others: the ids of its jobs, each of which needs the next, and the last is
    /// the first. Only a job that somebody needs already can close one.
    pub(crate) async fn cycle(
        &self,
        tx: &Tx<'_>,
        name: &JobName,
        needed: Vec<String>,
        needing: Needing,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let partition = name.partition.as_str();
        let own = name.job.as_str();
        let mut frontier = needed;
        // Who needs it, by what is needed.
        let mut needs: BTreeMap<String, String> = BTreeMap::new();
        for needed in &frontier {
            needs.insert(needed.clone(), own.to_owned());
        }
        if !needs.contains_key(own) && !self.is_needed(tx, partition, own, needing).await? {
            return Ok(None);
        }
        while !frontier.is_empty() && needs.len() < SEARCHED && !needs.contains_key(own) {
            let edges = self.edges(tx, partition, &frontier, needing).await?;
            frontier.clear();
            for edge in edges {
                if let Entry::Vacant(unseen) = needs.entry(edge.needed) {
                    frontier.push(unseen.key().clone());
                    unseen.insert(edge.job_id);
                }
            }
        }
        Ok(needs.contains_key(own).then(|| path(&needs, own)))
    }

    /// Whether any job needs this one. Each state that counts has an index of its own.
    async fn is_needed(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        job: &str,
        needing: Needing,
    ) -> Result<bool, StoreError> {
        let states = match needing {
            Needing::Waiting => &[PrerequisiteState::Open][..],
            Needing::Any => &[PrerequisiteState::Open, PrerequisiteState::Broken],
        };
        for state in states {
            let sql = format!(
                "SELECT count(*) AS value FROM ( \
                   SELECT 1 AS one FROM prerequisite WHERE partition_id = $1 AND needed = $2 AND state = {} LIMIT 1) AS needing",
                state.code()
            );
            let values = [partition.into(), job.into()];
            if self.one_int(&**tx, sql, values).await? == Some(1) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What jobs need that is not complete for them.
    async fn edges(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        jobs: &[String],
        needing: Needing,
    ) -> Result<Vec<Edge>, StoreError> {
        let waiting = match needing {
            Needing::Waiting => format!("p.state = 0 AND s.phase = {}", phase_code(Phase::Waiting)),
            Needing::Any => "p.state <> 1".to_owned(),
        };
        let sql = format!(
            "SELECT j.job_id, p.needed FROM job j JOIN job_progress s ON s.job_key = j.job_key \
             JOIN prerequisite p ON p.job_key = j.job_key \
             WHERE j.partition_id = $1 AND j.job_id IN ({}) AND {waiting}",
            self.texts(2),
        );
        let values = [partition.into(), keys::texts(jobs)];
        self.all(&**tx, sql, values).await
    }
}

/// The ids on the way from a job back to itself.
fn path(needs: &BTreeMap<String, String>, own: &str) -> Vec<String> {
    let mut path = vec![own.to_owned()];
    let mut at = own;
    while let Some(before) = needs.get(at) {
        path.push(before.clone());
        at = before;
        if at == own {
            break;
        }
    }
    path.reverse();
    if path.len() > NAMED {
        let rest = path.split_off(path.len() - NAMED / 2);
        path.truncate(NAMED / 2);
        path.push("...".to_owned());
        path.extend(rest);
    }
    path
}
