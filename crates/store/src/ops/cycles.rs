//! Jobs that would wait for themselves: a creation or a retry that would close such a cycle is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};

use headway_domain::job::Phase;
use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};
use sea_orm::FromQueryResult;

use super::prerequisites::PrerequisiteState;
use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    rows::job::phase_code,
};

/// Jobs looked at in search of a cycle at most: beyond that a chain counts as one that ends.
const SEARCHED: usize = 100_000;
/// What they need, at most: some tens of megabytes.
const NEEDS: usize = 300_000;
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

impl Needing {
    /// How what they need stands.
    pub(crate) fn states(self) -> &'static [PrerequisiteState] {
        match self {
            Self::Waiting => &[PrerequisiteState::Open],
            Self::Any => &[PrerequisiteState::Open, PrerequisiteState::Broken],
        }
    }
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
            self.row(&**tx, sql, [partition.into()]).await?;
        }
        Ok(())
    }

    /// Whether a job would wait again if it was retried. What it needed and was complete stays so, thus a "no" stays true.
    pub(crate) async fn would_wait_again(&self, key: i64) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) AS value FROM ( \
                     SELECT 1 AS one FROM prerequisite WHERE job_key = $1 AND state <> 1 LIMIT 1) AS unmet";
        Ok(self.one_int(self.work_reader(), sql, [key.into()]).await? == Some(1))
    }

    /// The cycles that jobs of a partition would close if they waited again for what was not complete.
    pub(crate) async fn cycles_of_retries(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        jobs: &[&str],
        needing: Needing,
    ) -> Result<Cycles, StoreError> {
        let needed = self.needed_among(tx, partition, jobs, needing.states());
        let needed = needed.await?;
        let mut needs = Needs::new();
        if !needed.is_empty() {
            let edges = self.edges(tx, partition, &needed, Needing::Any, NEEDS);
            add(&mut needs, edges.await?);
        }
        self.cycles(tx, partition, needs, needing).await
    }

    /// The cycles that jobs of a partition would close by waiting for others, given what each of them needs.
    pub(crate) async fn cycles(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        mut needs: Needs,
        needing: Needing,
    ) -> Result<Cycles, StoreError> {
        let mut frontier = unsearched(&needs, needs.keys());
        let mut room = NEEDS;
        while !frontier.is_empty() && needs.len() + frontier.len() <= SEARCHED && room > 0 {
            let edges = self.edges(tx, partition, &frontier, needing, room).await?;
            room -= edges.len();
            for job in &frontier {
                needs.insert(job.clone(), Vec::new());
            }
            add(&mut needs, edges);
            frontier = unsearched(&needs, frontier.iter());
        }
        Ok(Cycles::of(needs))
    }

    /// Those of these jobs that any job needs, in one of these states, each of which has an index of its own.
    pub(crate) async fn needed_among(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        jobs: &[&str],
        states: &[PrerequisiteState],
    ) -> Result<Vec<String>, StoreError> {
        // With OFFSET it stays a look at the index for each job, whatever PostgreSQL believes of the sizes of these tables.
        let needed = states.iter().map(|state| {
            format!(
                "EXISTS (SELECT 1 FROM prerequisite p WHERE p.partition_id = $1 AND p.needed = one.value AND p.state = {} LIMIT 1 OFFSET 0)",
                state.code()
            )
        });
        let needed: Vec<String> = needed.collect();
        let sql = format!(
            "SELECT one.value AS needed FROM ({}) AS one WHERE {}",
            self.texts(2),
            needed.join(" OR ")
        );
        let list = serde_json::to_string(jobs).unwrap_or_default();
        let rows: Vec<Needed> = self
            .all(&**tx, sql, [partition.into(), list.into()])
            .await?;
        Ok(rows.into_iter().map(|row| row.needed).collect())
    }

    /// What jobs need that is not complete for them, up to a number.
    async fn edges(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        jobs: &[String],
        needing: Needing,
        most: usize,
    ) -> Result<Vec<Edge>, StoreError> {
        let waiting = match needing {
            Needing::Waiting => format!("p.state = 0 AND s.phase = {}", phase_code(Phase::Waiting)),
            Needing::Any => "p.state <> 1".to_owned(),
        };
        let sql = format!(
            "SELECT j.job_id, p.needed FROM job j JOIN job_progress s ON s.job_key = j.job_key \
             JOIN prerequisite p ON p.job_key = j.job_key \
             WHERE j.partition_id = $1 AND j.job_id IN ({}) AND {waiting} LIMIT {most}",
            self.texts(2),
        );
        let values = [partition.into(), keys::texts(jobs)];
        self.all(&**tx, sql, values).await
    }
}

/// The jobs that others need, by the jobs that need them.
pub(crate) type Needs = BTreeMap<String, Vec<String>>;

fn add(needs: &mut Needs, edges: Vec<Edge>) {
    for edge in edges {
        needs.entry(edge.job_id).or_default().push(edge.needed);
    }
}

/// What some jobs need and was not looked at yet.
fn unsearched<'a>(needs: &Needs, by: impl Iterator<Item = &'a String>) -> Vec<String> {
    let needed = by.filter_map(|job| needs.get(job)).flatten();
    let new: BTreeSet<&String> = needed.filter(|job| !needs.contains_key(*job)).collect();
    new.into_iter().cloned().collect()
}

/// Jobs that need each other in a circle.
#[derive(Debug)]
pub(crate) struct Cycles {
    needs: Needs,
    jobs: BTreeSet<String>,
}

impl Cycles {
    /// A job is in a cycle if it is in a strongly connected component with others, or needs itself.
    pub(crate) fn of(needs: Needs) -> Self {
        let edges = needs.iter().flat_map(|(job, needed)| {
            let needed = needed.iter().map(String::as_str);
            needed.map(move |needed| (job.as_str(), needed))
        });
        let graph: DiGraphMap<&str, ()> = edges.collect();
        let components = kosaraju_scc(&graph).into_iter();
        let circles = components
            .filter(|jobs| jobs.len() > 1 || jobs.iter().any(|job| graph.contains_edge(job, job)));
        let jobs = circles.flatten().map(ToOwned::to_owned).collect();
        Self { needs, jobs }
    }

    /// Whether this job is in a cycle.
    pub(crate) fn contains(&self, job: &str) -> bool {
        self.jobs.contains(job)
    }

    /// A shortest cycle that this job is in: the ids of its jobs, each of which needs the next, and the last is the first.
    pub(crate) fn path(&self, own: &str) -> Option<Vec<String>> {
        if !self.contains(own) {
            return None;
        }
        // Who needs it, by what is needed.
        let mut needed_by: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([own]);
        while !needed_by.contains_key(own) {
            let job = queue.pop_front()?;
            for needed in self.needs.get(job).into_iter().flatten() {
                if let Entry::Vacant(unseen) = needed_by.entry(needed) {
                    unseen.insert(job);
                    queue.push_back(needed);
                }
            }
        }
        Some(way(&needed_by, own))
    }
}

/// The ids on the way from a job back to itself.
fn way(needed_by: &BTreeMap<&str, &str>, own: &str) -> Vec<String> {
    let mut way = vec![own.to_owned()];
    let mut at = own;
    while let Some(before) = needed_by.get(at) {
        way.push((*before).to_owned());
        at = before;
        if at == own {
            break;
        }
    }
    way.reverse();
    if way.len() > NAMED {
        let rest = way.split_off(way.len() - NAMED / 2);
        way.truncate(NAMED / 2);
        way.push("...".to_owned());
        way.extend(rest);
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(edges: &[(usize, usize)]) -> Needs {
        let mut needs = Needs::new();
        for (job, needed) in edges {
            let needed = needed.to_string();
            needs.entry(job.to_string()).or_default().push(needed);
        }
        needs
    }

    /// Whether one gets from a job to another by what is needed.
    fn leads(edges: &[(usize, usize)], from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(job) = open.pop() {
            for (_, needed) in edges.iter().filter(|(of, _)| *of == job) {
                if *needed == to {
                    return true;
                }
                if seen.insert(*needed) {
                    open.push(*needed);
                }
            }
        }
        false
    }

    #[test]
    fn exactly_the_jobs_that_lead_back_to_themselves_are_in_cycles() {
        const JOBS: usize = 4;
        let pairs = JOBS * JOBS;
        for graph in 0u32..1 << pairs {
            let drawn = (0..pairs).filter(|pair| graph >> pair & 1 == 1);
            let edges: Vec<_> = drawn.map(|pair| (pair / JOBS, pair % JOBS)).collect();
            let cycles = Cycles::of(needs(&edges));
            for job in 0..JOBS {
                let id = job.to_string();
                assert_eq!(cycles.contains(&id), leads(&edges, job, job), "{edges:?}");
                let Some(path) = cycles.path(&id) else {
                    assert!(!cycles.contains(&id), "{edges:?}");
                    continue;
                };
                assert!(path.len() > 1 && path[0] == id && path.last() == Some(&id));
                for step in path.windows(2) {
                    let step = (step[0].parse().unwrap(), step[1].parse().unwrap());
                    assert!(edges.contains(&step), "{path:?} in {edges:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_cycle_is_found_and_named_in_short() {
        let ring: Vec<_> = (0..SEARCHED)
            .map(|job| (job, (job + 1) % SEARCHED))
            .collect();
        let cycles = Cycles::of(needs(&ring));
        assert_eq!(cycles.jobs.len(), SEARCHED);
        let path = cycles.path("7").unwrap();
        assert_eq!(path.len(), NAMED + 1);
        assert_eq!(
            (&path[0], &path[1], &path[NAMED]),
            (&"7".to_owned(), &"8".to_owned(), &"7".to_owned())
        );
        assert_eq!(path[NAMED / 2], "...");
    }
}
