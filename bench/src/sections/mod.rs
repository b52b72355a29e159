//! What is measured, one section a file; each with its own data, its own deadline and a sentence
//! when it fails.

mod behind;
mod broker;
mod crashes;
mod create;
mod database;
mod deep;
mod deletions;
mod fanout;
mod large;
mod many;
mod throughput;
mod waiting;
mod watch;

use std::{path::Path, time::Duration};

use clap::ValueEnum;

use crate::{
    report::{Report, Row},
    services::Services,
    sizes::Sizes,
};

/// A section of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Raw RabbitMQ.
    A,
    /// Raw PostgreSQL.
    B,
    /// Items per second on the cluster.
    C,
    /// Items per second embedded.
    D,
    /// Creating jobs, and how soon they start.
    E,
    /// How soon watchers see a change.
    F,
    /// A large job.
    G,
    /// Cost against size.
    H,
    /// A small job behind a large one.
    I,
    /// What the death of a worker costs.
    K,
    /// Finding jobs among a million.
    M,
    /// Folders in folders.
    N,
    /// Jobs that wait for others.
    P,
    /// Many watchers of one server.
    W,
}

impl Section {
    /// All of them, in their order: limits come before what is compared with them.
    pub(crate) const ALL: [Self; 14] = [
        Self::A,
        Self::B,
        Self::C,
        Self::D,
        Self::E,
        Self::F,
        Self::G,
        Self::H,
        Self::I,
        Self::K,
        Self::M,
        Self::N,
        Self::P,
        Self::W,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::A => "a: raw RabbitMQ, publish with confirm, consume, acknowledge",
            Self::B => "b: raw PostgreSQL, single-row commits at 32 connections",
            Self::C => "c: items per second on PostgreSQL and RabbitMQ",
            Self::D => "d: items per second embedded",
            Self::E => "e: creating jobs",
            Self::F => "f: from commit to watcher",
            Self::G => "g: a large job",
            Self::H => "h: cost against size",
            Self::I => "i: a small job behind a large one of another partition",
            Self::K => "k: what the death of a worker costs",
            Self::M => "m: finding jobs among many",
            Self::N => "n: folders in folders",
            Self::P => "p: jobs that wait for others",
            Self::W => "w: many watchers of one server",
        }
    }
}

/// What a section works with.
pub(crate) struct Bench {
    /// How much to do.
    pub sizes: Sizes,
    /// Where figures go.
    pub report: Report,
    /// The seconds that section g's job took for each item, in microseconds: section h's last
    /// figure.
    pub large_us_per_item: Option<f64>,
    services: Option<Services>,
}

impl Bench {
    /// The services, which not every section needs.
    fn services(&self) -> anyhow::Result<Services> {
        match &self.services {
            Some(services) => Ok(services.clone()),
            None => Services::from_environment(),
        }
    }

    fn add(&mut self, row: Row) {
        self.report.add(row);
    }
}

/// Runs sections, prints the table and writes the figures.
///
/// # Errors
/// When a section failed; the others are run all the same.
pub(crate) async fn run(
    wanted: &[Section],
    sizes: Sizes,
    out: Option<&Path>,
) -> anyhow::Result<()> {
    let alone = wanted.iter().all(|section| *section == Section::D);
    let services = match Services::from_environment() {
        Ok(services) => Some(services),
        Err(_) if alone => None,
        Err(error) => return Err(error),
    };
    let mut bench = Bench {
        report: Report::new(sizes.thresholds),
        sizes,
        large_us_per_item: None,
        services,
    };
    let mut failures = Vec::new();
    for section in Section::ALL {
        if !wanted.contains(&section) {
            continue;
        }
        eprintln!("{}", section.title());
        if let Err(error) = within(sizes.deadline, one(&mut bench, section)).await {
            let failure = format!("{}: {error:#}", section.title());
            eprintln!("  FAILED: {error:#}");
            failures.push(failure);
        }
    }
    println!("{}", bench.report.table());
    if let Some(out) = out {
        bench.report.write(out)?;
    }
    if bench.report.missed() > 0 {
        println!("{} targets are missed", bench.report.missed());
    }
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

async fn within(
    deadline: Duration,
    section: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    match tokio::time::timeout(deadline, section).await {
        Ok(done) => done,
        Err(_) => anyhow::bail!(
            "it did not end within {} s; a job hangs, or the machine is far too slow",
            deadline.as_secs()
        ),
    }
}

async fn one(bench: &mut Bench, section: Section) -> anyhow::Result<()> {
    match section {
        Section::A => broker::measure(bench).await,
        Section::B => database::measure(bench).await,
        Section::C => throughput::cluster(bench).await,
        Section::D => throughput::embedded(bench).await,
        Section::E => create::measure(bench).await,
        Section::F => watch::measure(bench).await,
        Section::G => large::measure(bench).await,
        Section::H => throughput::scale(bench).await,
        Section::I => behind::measure(bench).await,
        Section::K => crashes::measure(bench).await,
        Section::M => many::measure(bench).await,
        Section::N => deep::measure(bench).await,
        Section::P => waiting::measure(bench).await,
        Section::W => fanout::measure(bench).await,
    }
}
