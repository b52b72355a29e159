//! Who gets how much of a pipe: by priority, then over partitions by weight, then over jobs evenly;
//! nobody more than it can use.
//!
//! Within a priority this is max-min fairness with weights, found by filling up: whoever wants less
//! than its share gets what it wants, and the others share the rest (Bertsekas and Gallager, Data
//! Networks, 6.5.2).

use std::collections::BTreeMap;

use headway_domain::{
    jobs::bulk::JOBS,
    pipes::{Bucket, Claim, Share, Turn, fill},
};
use headway_store::{HungryJob, PartitionUse, PipeShare};

/// An allowance that is off by this part of what it was is changed, and with it all that are off by
/// [`SLIGHTLY`].
const MUCH: u64 = 4;
/// See [`MUCH`].
const SLIGHTLY: u64 = 32;

/// What is known of the partitions that do not share as most do, while one round shares out.
#[derive(Debug, Default)]
pub(crate) struct Books(BTreeMap<String, Account>);

/// A partition's.
#[derive(Debug, Clone, Copy)]
struct Account {
    weight: f64,
    /// What of its quota of items in flight nobody has; below zero where too much is out.
    free: Option<i64>,
}

impl Books {
    /// Opens them for a round.
    pub(crate) fn open(uses: &BTreeMap<String, PartitionUse>, pipes: &[PipeShare]) -> Self {
        let mut books: BTreeMap<String, Account> = uses
            .iter()
            .map(|(partition, of)| {
                let quota = of.share.in_flight.map(i64::from);
                let account = Account {
                    weight: f64::from(of.share.weight),
                    free: quota.map(|quota| quota - signed(of.in_flight)),
                };
                (partition.clone(), account)
            })
            .collect();
        let held_to_quotas = pipes.iter().filter(|pipe| pipe.pipe != JOBS);
        for job in held_to_quotas.flat_map(|pipe| &pipe.jobs) {
            if let Some(free) = books
                .get_mut(&job.partition_id)
                .and_then(|of| of.free.as_mut())
            {
                *free -= signed(held(job)) - job.in_flight;
            }
        }
        Self(books)
    }

    fn weight(&self, partition: &str) -> f64 {
        self.0.get(partition).map_or(1.0, |of| of.weight)
    }

    fn free(&self, partition: &str) -> Option<i64> {
        self.0.get(partition)?.free
    }

    fn free_mut(&mut self, partition: &str) -> Option<&mut i64> {
        self.0.get_mut(partition)?.free.as_mut()
    }
}

/// The shares that are to change, given what the pipe can take of its jobs' items now; `bucket`
/// holds what a pipe with a limit of items per second may still take.
pub(crate) fn shares(
    pipe: &PipeShare,
    credit: u64,
    books: &mut Books,
    bucket: Option<(&mut Bucket, u32)>,
    turn: Turn,
) -> Vec<(i64, Share)> {
    let limit = pipe.limits.in_flight.map(u64::from);
    let limit = limit.map(|limit| limit.saturating_sub(pipe.reserved));
    let wants: Vec<u64> = pipe.jobs.iter().map(want).collect();
    let total = credit.min(limit.unwrap_or(u64::MAX));
    let mut allowances = divide(total, &pipe.jobs, &wants, books, turn);
    let unlimited = pipe.limits.is_unlimited();
    for (job, allowance) in pipe.jobs.iter().zip(&mut allowances) {
        // Nobody stands still because others are more important.
        if unlimited && books.free(&job.partition_id).is_none() {
            *allowance = (*allowance).max(1);
        }
    }
    hold_to(limit, &pipe.jobs, &mut allowances, books);
    let grants = bucket.map(|(bucket, whole)| {
        let usable = pipe.jobs.iter().zip(&allowances);
        let usable: Vec<u64> = usable
            .map(|(job, allowance)| usable_of(job, *allowance))
            .collect();
        let grants = divide(
            u64::from(whole),
            &pipe.jobs,
            &usable,
            &Books::default(),
            turn,
        );
        bucket.take(narrow(grants.iter().sum()));
        grants
    });
    let off = |job: &HungryJob, allowance: u64, part: u64| {
        let before = count(job.allowance);
        before.abs_diff(allowance) * part >= before.max(1)
    };
    let exact = |job: &HungryJob| !unlimited || books.free(&job.partition_id).is_some();
    let jobs = || pipe.jobs.iter().zip(&allowances);
    let part = match jobs().any(|(job, allowance)| off(job, *allowance, MUCH)) {
        true => SLIGHTLY,
        false => MUCH,
    };
    let mut changes = Vec::new();
    for (at, (job, allowance)) in jobs().enumerate() {
        let grant = grants.as_ref().and_then(|grants| grants.get(at));
        let grant = grant.map(|grant| narrow(*grant));
        let meter = grant.is_some() != job.tokens.is_some();
        let other = match exact(job) {
            true => count(job.allowance) != *allowance,
            false => off(job, *allowance, part),
        };
        let nudge = job.reopening && job.in_flight == 0;
        if meter || other || nudge || grant.is_some_and(|grant| grant > 0) {
            let allowance = narrow(*allowance);
            changes.push((job.job_key, Share { allowance, grant }));
        }
    }
    changes
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a job has of a pipe, or may take until it hears of another allowance.
fn held(job: &HungryJob) -> u64 {
    count(job.allowance).max(count(job.in_flight) + count(job.delayed))
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What a job could have out.
fn want(job: &HungryJob) -> u64 {
    let window = count(job.max_in_flight);
    match job.endless {
        true => window,
        false => window.min(count(job.in_flight) + count(job.delayed) + count(job.ready)),
    }
}

/// What a job could send beside what it may send already.
fn usable_of(job: &HungryJob, allowance: u64) -> u64 {
    let room = allowance.min(count(job.max_in_flight));
    let room = room.saturating_sub(count(job.in_flight) + count(job.delayed));
    room.min(count(job.ready))
        .saturating_sub(u64::from(job.tokens.unwrap_or(0)))
}

/// Divides a total over jobs, none of which gets more than it wants, in whole pieces.
fn divide(total: u64, jobs: &[HungryJob], wants: &[u64], books: &Books, turn: Turn) -> Vec<u64> {
    // By priority, the highest first, then by partition.
    let mut classes: BTreeMap<i64, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    let mut quotas: BTreeMap<&str, f64> = BTreeMap::new();
    for (at, job) in jobs.iter().enumerate() {
        let partition = job.partition_id.as_str();
        let class = classes.entry(-job.priority).or_default();
        class.entry(partition).or_default().push(at);
        // What its jobs have here, and what nobody has.
        if let Some(free) = books.free(partition) {
            *quotas.entry(partition).or_insert(free as f64) += held(job) as f64;
        }
    }
    let mut parts = vec![0.0; jobs.len()];
    let mut left = total as f64;
    for class in classes.values() {
        let claims = class.iter().map(|(partition, members)| Claim {
            want: (members.iter().map(|at| wants[*at]).sum::<u64>() as f64)
                .min(quotas.get(partition).copied().unwrap_or(f64::INFINITY)),
            weight: books.weight(partition),
        });
        let claims: Vec<Claim> = claims.collect();
        for ((partition, members), part) in class.iter().zip(fill(left, &claims)) {
            left -= part;
            if let Some(quota) = quotas.get_mut(partition) {
                *quota -= part;
            }
            let claims = members.iter().map(|at| Claim {
                want: wants[*at] as f64,
                weight: 1.0,
            });
            let claims: Vec<Claim> = claims.collect();
            for (at, part) in members.iter().zip(fill(part, &claims)) {
                parts[*at] = part;
            }
        }
    }
    turn.round(&parts)
}

/// Holds allowances to a limit and to quotas whatever the jobs send meanwhile: what one has, or may
/// send until it hears of its new allowance, is not another's yet.
fn hold_to(limit: Option<u64>, jobs: &[HungryJob], allowances: &mut [u64], books: &mut Books) {
    let all: u64 = jobs.iter().map(held).sum();
    let mut free = limit.map_or(u64::MAX, |limit| limit.saturating_sub(all));
    for (job, allowance) in jobs.iter().zip(allowances) {
        let quota = books.free_mut(&job.partition_id);
        let room = quota.as_ref().map_or(u64::MAX, |free| count(**free));
        let more = allowance.saturating_sub(held(job)).min(free).min(room);
        free -= more;
        if let Some(free) = quota {
            *free -= signed(more);
        }
        *allowance = (*allowance).min(held(job) + more);
    }
}

#[cfg(test)]
mod tests;
