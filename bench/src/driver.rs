//! Changes jobs at a steady pace, as tracking does with what workers report: many jobs in a
//! transaction, then an event for each. What is reported is how far the only item of a job is.

use std::time::Duration;

use headway_domain::{
    JobUid, PartitionId,
    reports::{ItemEvent, ItemReport, PageReport},
};
use headway_relay::Links;
use headway_runtime::{config::Config, tasks::Supervisor};
use headway_store::JobFilter;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Transactions in a second, about as many as a busy tracking worker makes.
const TRANSACTIONS: f64 = 40.0;

/// Attempts of an item that are reported about.
const ATTEMPTS: u32 = 4;

/// How to drive.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Changes of each job in a second.
    #[arg(long)]
    rate: f64,
    /// The partition whose jobs are changed.
    #[arg(long)]
    partition: String,
}

/// Changes every job of the partition until `shutdown`; says how often.
pub(crate) async fn run(
    args: Args,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let supervisor = Supervisor::new(shutdown.clone());
    let links = Links::connect(&config, &supervisor).await?;
    let partition = PartitionId::new(args.partition)?;
    let filter = JobFilter::default();
    let page = links
        .relay
        .store()
        .list_jobs(&partition, &filter, None, 1000);
    let jobs = page.await?.jobs;
    let uids: Vec<JobUid> = jobs.iter().map(|view| view.job.meta.uid).collect();
    anyhow::ensure!(!uids.is_empty(), "there are no jobs to change");
    println!("ready");
    let each = (args.rate * uids.len() as f64 / TRANSACTIONS).ceil();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(
        each / (args.rate * uids.len() as f64),
    ));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut turns = uids.iter().copied().cycle();
    let (mut changed, mut millionths) = (0, 0);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        // Fractions rise; each job gets a larger one each time.
        millionths += 1;
        let some = turns.by_ref().take(each as usize);
        let reports: Vec<_> = some.map(|uid| report(uid, millionths)).collect();
        let tracked = links.relay.store().apply_reports(&reports).await?;
        changed += tracked.committed.changes.len();
        links.relay.publish(tracked.committed).await;
    }
    println!("changed {changed}");
    supervisor.join(Duration::from_secs(10)).await?;
    links.close().await;
    Ok(())
}

/// A worker's word that the only item of a job is so far.
fn report(job: JobUid, millionths: u32) -> PageReport {
    // What stands in a pipe may be sent again under another attempt before the load begins; only
    // one of these fits.
    let attempts = (0..ATTEMPTS).map(|attempt| ItemReport {
        index: 0,
        attempt,
        stage: 0,
        event: ItemEvent::Fraction(millionths),
    });
    PageReport {
        job,
        page: 1,
        run: 0,
        done: Vec::new(),
        items: attempts.collect(),
        session: Uuid::nil(),
        worker: "driver".to_owned(),
    }
}
