//! Jobs that would wait for themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};

use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};
use sea_orm::FromQueryResult;

#[derive(Debug, FromQueryResult)]
pub(crate) struct Edge {
    job_id: String,
    pub(crate) needed: String,
}

/// Jobs looked at in search of a cycle at most: beyond that a chain counts as one that ends.
pub(crate) const MAX_JOBS_SEARCHED: usize = 100_000;

/// Jobs of a cycle that are named at most.
const MAX_JOBS_NAMED: usize = 20;

/// The jobs that others need, by the jobs that need them.
pub(crate) type Needs = BTreeMap<String, Vec<String>>;

pub(crate) fn add(needs: &mut Needs, edges: Vec<Edge>) {
    for edge in edges {
        needs.entry(edge.job_id).or_default().push(edge.needed);
    }
}

/// What some jobs need and was not looked at yet.
pub(crate) fn unsearched<'a>(needs: &Needs, by: impl Iterator<Item = &'a String>) -> Vec<String> {
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

    /// A shortest cycle that this job is in: the ids of its jobs, each of which needs the next, and
    /// the last is the first.
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
    if way.len() > MAX_JOBS_NAMED {
        let rest = way.split_off(way.len() - MAX_JOBS_NAMED / 2);
        way.truncate(MAX_JOBS_NAMED / 2);
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
        let ring: Vec<_> = (0..MAX_JOBS_SEARCHED)
            .map(|job| (job, (job + 1) % MAX_JOBS_SEARCHED))
            .collect();
        let cycles = Cycles::of(needs(&ring));
        assert_eq!(cycles.jobs.len(), MAX_JOBS_SEARCHED);
        let path = cycles.path("7").unwrap();
        assert_eq!(path.len(), MAX_JOBS_NAMED + 1);
        assert_eq!(
            (&path[0], &path[1], &path[MAX_JOBS_NAMED]),
            (&"7".to_owned(), &"8".to_owned(), &"7".to_owned())
        );
        assert_eq!(path[MAX_JOBS_NAMED / 2], "...");
    }
}
