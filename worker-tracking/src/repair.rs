//! Finding lost messages: a broker that lost everything shows no epoch mark; a pipe that lost some stays empty
//! while items that were released there are heard of no more.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use headway_broker::{BrokerError, Queue};
use headway_domain::Micros;
use headway_store::StoreError;
use tokio::time::Instant;

use crate::tracker::Tracker;

/// Since when pipes have been empty.
type Empty = BTreeMap<String, Instant>;

impl Tracker {
    /// Watches the broker until shutdown.
    pub(crate) async fn repair(self) -> anyhow::Result<()> {
        let mut empty = Empty::new();
        let mut looked = Instant::now();
        let look_every = (self.config.silence / 4).max(Duration::from_millis(100));
        let mut epoch_at: Option<Instant> = None;
        loop {
            if epoch_at.is_none_or(|at| at.elapsed() >= self.config.epoch_interval) {
                epoch_at = Some(Instant::now());
                self.check_epoch().await;
            }
            if self.leads.load(Ordering::Relaxed) && looked.elapsed() >= look_every {
                looked = Instant::now();
                if let Err(error) = self.look_for_silence(&mut empty).await {
                    tracing::warn!(%error, "lost messages are not looked for");
                }
            }
            if !self.pause(self.config.epoch_interval.min(look_every)).await {
                return Ok(());
            }
        }
    }

    async fn check_epoch(&self) {
        match self.relay.check_epoch().await {
            Ok(_) if self.leads.load(Ordering::Relaxed) => {
                if let Err(error) = self.repair_older_epochs().await {
                    tracing::warn!(%error, "the sweep after a lost broker goes on later");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the broker's epoch is not checked"),
        }
    }

    /// Releases again what an older epoch's broker had. Resumable: each page is marked with the new epoch.
    async fn repair_older_epochs(&self) -> Result<(), StoreError> {
        loop {
            let keys = self.relay.store().jobs_of_older_epochs().await?;
            if keys.is_empty() {
                return Ok(());
            }
            for key in keys {
                self.repair_job(key, 0).await?;
                if self.shutdown.is_cancelled() {
                    return Ok(());
                }
            }
        }
    }

    async fn repair_job(&self, key: i64, before: Micros) -> Result<(), StoreError> {
        loop {
            let (committed, more) = self.relay.store().repair_job(key, before).await?;
            let owed = committed.owed.len();
            self.relay.publish(committed).await;
            if owed > 0 {
                tracing::info!(job_key = key, owed, "released again what was lost");
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn look_for_silence(&self, empty: &mut Empty) -> anyhow::Result<()> {
        let store = self.relay.store();
        let pipes = store.live_pipes().await?;
        empty.retain(|pipe, _| pipes.contains(pipe));
        let batch_empty = self.is_empty(&Queue::Batch).await?;
        for pipe in pipes {
            if !batch_empty || !self.is_empty(&Queue::Pipe(pipe.clone())).await? {
                empty.remove(&pipe);
                continue;
            }
            let since = *empty.entry(pipe.clone()).or_insert_with(Instant::now);
            if since.elapsed() < self.config.silence {
                continue;
            }
            let silence = i64::try_from(self.config.silence.as_micros())?;
            let before = store.now() - silence;
            for key in store.silent_jobs(&pipe, before).await? {
                if self.forwards_are_lost(key).await? {
                    self.repair_job(key, before).await?;
                }
            }
        }
        Ok(())
    }

    async fn is_empty(&self, queue: &Queue) -> Result<bool, BrokerError> {
        Ok(self.relay.broker().depth(queue).await?.ready == 0)
    }

    /// Items that were forwarded wait in other pipes: those must be empty too.
    async fn forwards_are_lost(&self, key: i64) -> anyhow::Result<bool> {
        for pipe in self.relay.store().forward_pipes(key).await? {
            if !self.is_empty(&Queue::Pipe(pipe)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
