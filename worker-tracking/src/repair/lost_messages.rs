//! Finding lost messages: a broker that lost everything shows no epoch mark; where a pipe lost
//! some, nothing is heard of their items although all that was sent with them has come out.

use std::{collections::BTreeSet, time::Duration};

use headway_broker::{BrokerError, Depth, Outgoing, Queue};
use headway_domain::Micros;
use headway_relay::codec::encode_fence_order;
use headway_store::StoreError;
use tokio::time::Instant;

use super::fences::Passed;
use crate::tracker::Tracker;

/// One look at all pipes.
struct Look {
    /// The shards of this process; it repairs their jobs alone, because it knows what they have
    /// heard.
    shards: Vec<u16>,
    /// How long nothing must be heard after the messages came out.
    silence: Micros,
    /// What was sent before this time was in its pipe, or in the batch queue, when the look began.
    before: Micros,
    /// Whether the batch queue was empty.
    batch_empty: bool,
    /// The pipes that were looked at.
    pipes: BTreeSet<String>,
}

impl Tracker {
    /// Watches the broker until shutdown.
    pub(crate) async fn repair(self) -> anyhow::Result<()> {
        let mut looked = Instant::now();
        let look_every = (self.config.silence / 4).max(Duration::from_millis(100));
        let mut epoch_at: Option<Instant> = None;
        let mut gained = self.lead.gained();
        loop {
            if epoch_at.is_none_or(|at| at.elapsed() >= self.config.epoch_interval) {
                epoch_at = Some(Instant::now());
                self.check_epoch().await;
            }
            if looked.elapsed() >= look_every {
                looked = Instant::now();
                if let Err(error) = self.look_for_silence().await {
                    tracing::warn!(%error, "cannot look for lost messages; trying again later");
                }
            }
            tokio::select! {
                goes_on = self.pause(self.config.epoch_interval.min(look_every)) => {
                    if !goes_on {
                        return Ok(());
                    }
                }
                // Whoever led before may not have released all that the broker lost.
                () = gained.next() => epoch_at = None,
            }
        }
    }

    async fn check_epoch(&self) {
        match self.relay.check_epoch().await {
            Ok(_) if self.lead.is_ours() => {
                if let Err(error) = self.repair_older_epochs().await {
                    tracing::warn!(%error, "cannot release what the broker lost; trying again later");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot check whether the broker still has its data; trying again later")
            }
        }
    }

    /// Releases again what an older epoch's broker had. Resumable: each page is marked with the new
    /// epoch.
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

    pub(crate) async fn repair_job(&self, key: i64, before: Micros) -> Result<(), StoreError> {
        loop {
            let (committed, more) = self.relay.store().repair_job(key, before).await?;
            let owed = committed.outbox.len();
            self.relay.publish(committed).await;
            if owed > 0 {
                tracing::info!(job_key = key, owed, "released lost items again");
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Sends again what is lost: pages of which nothing was heard although their messages have come
    /// out of the pipe, and the workers that received them had the time to report.
    async fn look_for_silence(&self) -> anyhow::Result<()> {
        let store = self.relay.store();
        let pipes = store.pipes().live().await?;
        let mut look = Look {
            shards: self.heard.shards(),
            silence: i64::try_from(self.config.silence.as_micros())?,
            before: store.now() - i64::try_from(self.config.margin.as_micros())?,
            batch_empty: self.depth(&Queue::Batch).await?.ready == 0,
            pipes: BTreeSet::new(),
        };
        for pipe in pipes {
            self.look_at_pipe(&mut look, &pipe, false).await?;
            let now = store.now();
            let Some(passed) = self.fences.passed_by(&pipe, now - look.silence) else {
                continue;
            };
            let silent = store.silent_jobs(&pipe, passed.before, &look.shards);
            for job in silent.await? {
                // What the workers reported since then may wait in the shard's queue.
                let Some(heard) = self.heard.ask(job.shard, now) else {
                    continue;
                };
                let by = heard - look.silence;
                if let Some(before) = self.all_came_out(&mut look, &pipe, job.key, by).await? {
                    self.repair_job(job.key, before).await?;
                }
            }
        }
        self.fences.retain(&look.pipes);
        Ok(())
    }

    /// Looks whether a pipe is empty, and sends it a fence if it is not and something may be lost,
    /// which is known already where it `is_silent`.
    async fn look_at_pipe(
        &self,
        look: &mut Look,
        pipe: &str,
        is_silent: bool,
    ) -> anyhow::Result<()> {
        let store = self.relay.store();
        if !look.pipes.insert(pipe.to_owned()) {
            return Ok(());
        }
        let depth = match self.depth(&Queue::Pipe(pipe.to_owned())).await {
            Ok(depth) => depth,
            Err(error) => {
                // The others are looked at all the same.
                tracing::debug!(%error, pipe, "cannot read the depth of a pipe; its lost messages are found later");
                return Ok(());
            }
        };
        let now = store.now();
        if look.batch_empty && depth.ready == 0 {
            let passed = Passed {
                before: look.before,
                at: now,
            };
            self.fences.note(pipe, passed);
        } else if depth.consumers > 0 && !self.fences.cover(pipe, now - look.silence) {
            let silent = now - look.silence;
            let silent = store.silent_jobs(pipe, silent, &look.shards);
            if is_silent || !silent.await?.is_empty() {
                self.send_fence(look, pipe).await?;
            }
        }
        Ok(())
    }

    /// Before when all messages of a job were sent that had come out of its pipe by then, and of
    /// the pipes that its items were forwarded to.
    async fn all_came_out(
        &self,
        look: &mut Look,
        pipe: &str,
        key: i64,
        by: Micros,
    ) -> anyhow::Result<Option<Micros>> {
        let Some(passed) = self.fences.passed_by(pipe, by) else {
            return Ok(None);
        };
        let mut before = passed.before;
        for pipe in self.relay.store().pipes().forwarded_from(key).await? {
            self.look_at_pipe(look, &pipe, true).await?;
            match self.fences.passed_by(&pipe, by) {
                Some(passed) => before = before.min(passed.before),
                None => return Ok(None),
            }
        }
        Ok(Some(before))
    }

    /// Sends a fence to a pipe, the way that its messages go.
    async fn send_fence(&self, look: &Look, pipe: &str) -> anyhow::Result<()> {
        let Some(shard) = look.shards.first() else {
            return Ok(());
        };
        let Some(id) = self.fences.begin(pipe, look.before, self.config.silence) else {
            return Ok(());
        };
        let order = Outgoing {
            queue: Queue::Batch,
            body: encode_fence_order(pipe, id, *shard),
        };
        for result in self.relay.broker().publish(vec![order]).await {
            result?;
        }
        Ok(())
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        self.relay.broker().depth(queue).await
    }
}
