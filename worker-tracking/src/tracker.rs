//! Claims shards by a lease in the database and runs a loop for each; and the loops that run once a
//! process.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headway_relay::Relay;
use headway_runtime::tasks::{self, Supervisor, TaskKind};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    lead::Lead,
    pipes::Rates,
    repair::Fences,
    reports::{Heard, Looks},
};

/// How a tracking worker works.
#[derive(Debug, Clone)]
pub struct TrackerConfig {
    /// How often sweeps look for what is overdue.
    pub sweep_interval: Duration,
    /// After this time a message in the outbox is published again.
    pub outbox_after: Duration,
    /// Messages count as lost when nothing was heard of them for so long after they must have come
    /// out of their pipe.
    pub silence: Duration,
    /// How long after a commit its messages may be on their way to their pipe.
    pub margin: Duration,
    /// How often the broker's epoch is checked.
    pub epoch_interval: Duration,
    /// How long events of the audit log are kept, and how deleted jobs ended, for jobs that need
    /// them.
    pub event_retention: Duration,
    /// How long a pipe must be unused and empty before it is removed.
    pub pipe_retention: Duration,
    /// How long a claim on a shard lasts without renewal.
    pub claim: Duration,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            sweep_interval: Duration::from_secs(1),
            outbox_after: Duration::from_secs(5),
            silence: Duration::from_secs(360),
            margin: Duration::from_secs(60),
            epoch_interval: Duration::from_secs(5),
            event_retention: Duration::from_secs(30 * 24 * 3600),
            pipe_retention: Duration::from_secs(24 * 3600),
            claim: Duration::from_secs(10),
        }
    }
}

/// A tracking process.
#[derive(Debug, Clone)]
pub struct Tracker {
    pub(crate) relay: Relay,
    pub(crate) config: Arc<TrackerConfig>,
    pub(crate) owner: Uuid,
    pub(crate) rates: Arc<Rates>,
    pub(crate) heard: Heard,
    pub(crate) fences: Fences,
    pub(crate) looks: Looks,
    pub(crate) lead: Lead,
    pub(crate) shutdown: CancellationToken,
}

/// A running shard loop.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Tracker {
    /// A tracking process that works until `shutdown`.
    pub fn new(relay: Relay, config: TrackerConfig, shutdown: CancellationToken) -> Self {
        Self {
            relay,
            looks: Looks::new(config.sweep_interval),
            config: Arc::new(config),
            owner: Uuid::new_v4(),
            rates: Arc::default(),
            heard: Heard::default(),
            fences: Fences::default(),
            lead: Lead::default(),
            shutdown,
        }
    }

    /// Starts the loops of this process under a supervisor.
    pub fn spawn(self, supervisor: &Supervisor) {
        let tracker = self.clone();
        supervisor.spawn(TaskKind::Service, "tracking-claims", async move {
            tracker.claims().await
        });
        let tracker = self.clone();
        supervisor.spawn(TaskKind::Service, "tracking-janitor", async move {
            tracker.janitor().await
        });
        let tracker = self.clone();
        supervisor.spawn(TaskKind::Service, "tracking-clock", async move {
            tracker.clock().await
        });
        let tracker = self.clone();
        supervisor.spawn(TaskKind::Service, "tracking-credit", async move {
            tracker.credit().await
        });
        let tracker = self.clone();
        supervisor.spawn(TaskKind::Service, "tracking-repair", async move {
            tracker.repair().await
        });
        let tracker = self.clone();
        supervisor.spawn(TaskKind::Service, "tracking-settling", async move {
            tracker.settling().await
        });
        let tracker = self.clone();
        supervisor.spawn(TaskKind::Service, "tracking-removal", async move {
            tracker.removal().await
        });
        supervisor.spawn(TaskKind::Service, "tracking-dead-letters", async move {
            self.dead_letters().await
        });
    }

    /// Keeps the claims of this process and a loop for each claimed shard.
    async fn claims(self) -> anyhow::Result<()> {
        let mut running: BTreeMap<u16, Running> = BTreeMap::new();
        let ttl = i64::try_from(self.config.claim.as_micros())?;
        let mut lost_at = None;
        while !self.shutdown.is_cancelled() {
            match self.relay.store().claim_shards(self.owner, ttl).await {
                Ok(claims) => {
                    lost_at = None;
                    self.reconcile(&mut running, &claims.shards).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot renew the claims on shards; trying again");
                    // Others may claim them once ours have ended. Two at one shard is correct, only
                    // not even.
                    let since = *lost_at.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() > self.config.claim {
                        self.lead.set(false);
                    }
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = tokio::time::sleep(self.config.claim / 4) => {}
            }
        }
        self.reconcile(&mut running, &[]).await;
        if let Err(error) = self.relay.store().release_shards(self.owner).await {
            tracing::warn!(%error, "cannot release the claims on shards; they expire by themselves");
        }
        Ok(())
    }

    async fn reconcile(&self, running: &mut BTreeMap<u16, Running>, wanted: &[u16]) {
        self.lead.set(wanted.contains(&0));
        let gone: Vec<u16> = running
            .iter()
            .filter(|(shard, loop_)| !wanted.contains(shard) || loop_.task.is_finished())
            .map(|(shard, _)| *shard)
            .collect();
        let stopped: Vec<_> = gone
            .iter()
            .filter_map(|shard| running.remove(shard))
            .collect();
        for loop_ in &stopped {
            loop_.stop.cancel();
        }
        for loop_ in stopped {
            if let Err(error) = loop_.task.await {
                tracing::error!(%error, "the loop of a shard failed; starting it again");
            }
        }
        for shard in wanted {
            running.entry(*shard).or_insert_with(|| {
                let stop = CancellationToken::new();
                let tracker = self.clone();
                let token = stop.clone();
                let shard = *shard;
                let task = tasks::spawn(async move { tracker.shard(shard, token).await });
                Running { stop, task }
            });
        }
    }

    /// Waits, or tells that the process is stopping.
    pub(crate) async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.shutdown.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
