//! Jobs that would wait for themselves: a creation or a retry that would close such a cycle is
//! refused.

use headway_domain::{Error, JobId, JobName, PartitionId, jobs::Phase};
use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    ground::codes::Code,
    prerequisites::{
        cycles::{Cycles, Edge, MAX_JOBS_SEARCHED, Needs, add, unsearched},
        view::PrerequisiteState,
    },
};

/// What they need, at most: some tens of megabytes.
const MAX_EDGES: usize = 300_000;

/// Which jobs count as needing others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needing {
    /// Those that wait for them.
    Waiting,
    /// Those that have ended too, with all that was not complete for them: when each job that
    /// failed is to wait again, two that need each other would do so forever.
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
struct NeededRow {
    needed: String,
}

impl Db {
    /// Waits until nobody else lets jobs begin to wait in this partition: two that do so at once
    /// could close a cycle that neither sees. Comes before all other locks of a transaction. SQLite
    /// has one writer.
    pub(crate) async fn take_turns(&self, tx: &Tx<'_>, partition: &str) -> Result<(), StoreError> {
        if !self.is_sqlite() {
            let sql =
                "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1, 0))";
            self.row(&**tx, sql, [partition.into()]).await?;
        }
        Ok(())
    }

    /// Whether a job would wait again if it was retried. A prerequisite that is met stays met, so a
    /// "no" stays true.
    pub(crate) async fn would_wait_again(&self, key: i64) -> Result<bool, StoreError> {
        let met = PrerequisiteState::Met.code();
        let sql = format!(
            "SELECT count(*) AS value FROM ( \
               SELECT 1 AS one FROM prerequisite WHERE job_key = $1 AND state <> {met} LIMIT 1) AS unmet"
        );
        Ok(self.one_int(self.work_reader(), sql, [key.into()]).await? == Some(1))
    }

    /// The cycles that jobs of a partition would close if they waited again for what was not
    /// complete.
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
            let edges = self.edges(tx, partition, &needed, Needing::Any, MAX_EDGES);
            add(&mut needs, edges.await?);
        }
        self.cycles(tx, partition, needs, needing).await
    }

    /// The cycles that jobs of a partition would close by waiting for others, given what each of
    /// them needs.
    pub(crate) async fn cycles(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        mut needs: Needs,
        needing: Needing,
    ) -> Result<Cycles, StoreError> {
        let mut frontier = unsearched(&needs, needs.keys());
        let mut room = MAX_EDGES;
        while !frontier.is_empty() && needs.len() + frontier.len() <= MAX_JOBS_SEARCHED && room > 0
        {
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

    /// Those of these jobs that any job needs, in one of these states, each of which has an index
    /// of its own.
    pub(crate) async fn needed_among(
        &self,
        tx: &Tx<'_>,
        partition: &str,
        jobs: &[&str],
        states: &[PrerequisiteState],
    ) -> Result<Vec<String>, StoreError> {
        // With OFFSET it stays a look at the index for each job, whatever PostgreSQL believes of
        // the sizes of these tables.
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
        let rows: Vec<NeededRow> = self
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
        let [open, met] = [PrerequisiteState::Open, PrerequisiteState::Met].map(Code::code);
        let waiting = match needing {
            Needing::Waiting => {
                format!("p.state = {open} AND s.phase = {}", Phase::Waiting.code())
            }
            Needing::Any => format!("p.state <> {met}"),
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

    /// Refuses jobs that would close a cycle by waiting, given what each of them needs. There is
    /// none among those that wait already: unless some of them need a new job, a cycle is one of
    /// new jobs alone.
    pub(crate) async fn refuse_cycles(
        &self,
        tx: &Tx<'_>,
        partition: &PartitionId,
        needs: Needs,
    ) -> Result<(), StoreError> {
        let jobs: Vec<String> = needs.keys().cloned().collect();
        let new: Vec<&str> = jobs.iter().map(String::as_str).collect();
        let (waiting, named) = (Needing::Waiting, partition.as_str());
        let needed = self.needed_among(tx, named, &new, waiting.states());
        let cycles = match needed.await?.is_empty() {
            true => Cycles::of(needs),
            false => self.cycles(tx, named, needs, waiting).await?,
        };
        let closing = jobs
            .into_iter()
            .find_map(|job| Some((cycles.path(&job)?, job)));
        let Some((cycle, job)) = closing else {
            return Ok(());
        };
        let partition = partition.clone();
        let job = JobId::new(job)?;
        let job = JobName { partition, job };
        Err(Error::Cycle { job, cycle }.into())
    }
}
