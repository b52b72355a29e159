//! Changes jobs at a steady pace, as tracking does: a transaction a change, then its event. What changes is a job's allowance, which
//! means nothing to a job whose only item is out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headway_domain::PartitionId;
use headway_relay::{Links, Relay};
use headway_runtime::{config::Config, tasks::Supervisor};
use headway_store::JobFilter;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Tasks that change jobs.
const TASKS: usize = 8;

/// How to drive.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Changes of each job in a second.
    #[arg(long)]
    rate: f64,
    /// The partition whose jobs are changed.
    #[arg(long)]
    partition: String,
}

/// Changes every job of the partition until `shutdown`; says how often.
pub async fn run(args: Args, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let supervisor = Supervisor::new(shutdown.clone());
    let links = Links::connect(&config, &supervisor).await?;
    let partition = PartitionId::new(args.partition)?;
    let filter = JobFilter::default();
    let page = links
        .relay
        .store()
        .list_jobs(&partition, &filter, None, 1000);
    let keys: Vec<i64> = page
        .await?
        .jobs
        .iter()
        .map(|view| view.job.meta.key)
        .collect();
    println!("ready");
    let changes = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let keys: Vec<i64> = keys.iter().skip(task).step_by(TASKS).copied().collect();
        if keys.is_empty() {
            continue;
        }
        let pace = Duration::from_secs_f64(1.0 / (args.rate * keys.len() as f64));
        let drive = drive(links.relay.clone(), keys, pace, Arc::clone(&changes));
        tasks.spawn(shutdown.clone().run_until_cancelled_owned(drive));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Some(failed) = ended? {
            failed?;
        }
    }
    println!("changed {}", changes.load(Ordering::Relaxed));
    supervisor.join(Duration::from_secs(10)).await?;
    links.close().await;
    Ok(())
}

async fn drive(
    relay: Relay,
    keys: Vec<i64>,
    pace: Duration,
    changes: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for (turn, key) in keys.iter().cycle().enumerate() {
        ticks.tick().await;
        let allowance = u32::try_from(128 + turn % 100)?;
        let committed = relay.store().set_allowance(*key, allowance).await?;
        relay.publish(committed).await;
        changes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
