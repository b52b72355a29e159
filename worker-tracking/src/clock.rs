//! Jobs whose time has come: those that start later, those that must have ended, and those of
//! schedules.

use std::time::Duration;

use headway_domain::Micros;
use headway_store::StoreError;

use tokio::time::Instant;

use crate::tracker::Tracker;

/// The longest time between two looks: another process may have set an earlier time.
const LOOK: Duration = Duration::from_millis(500);
/// The shortest time between two looks: what is overdue may be held by another transaction.
const PAUSE: Duration = Duration::from_millis(20);

/// A clock that is behind what it should show by so much, in microseconds, was set back.
const SET_BACK_US: i64 = 1_000_000;

impl Tracker {
    /// Fires the timers of jobs until shutdown. Every process does; they share the work by skipping
    /// what another has locked.
    pub(crate) async fn clock(self) -> anyhow::Result<()> {
        let mut wait = PAUSE;
        // At the start the clock may have been set back while nothing ran.
        let mut realign = true;
        let mut seen = (Instant::now(), self.relay.store().now());
        while self.pause(wait).await {
            let now = self.relay.store().now();
            let passed = i64::try_from(seen.0.elapsed().as_micros()).unwrap_or(i64::MAX);
            realign |= now < seen.1.saturating_add(passed) - SET_BACK_US;
            seen = (Instant::now(), now);
            if realign {
                realign = !self.realign_schedules().await;
            }
            wait = match self.fire_all().await {
                Ok(next) => self.until_due(next),
                Err(error) => {
                    tracing::warn!(%error, "cannot fire the timers of jobs and schedules; retrying in 0.5 s");
                    LOOK
                }
            };
        }
        Ok(())
    }

    /// Finds the next times of schedules again after the clock was set back; whether that is done.
    async fn realign_schedules(&self) -> bool {
        match self.relay.store().schedules().realign().await {
            Ok(0) => true,
            Ok(schedules) => {
                tracing::warn!(
                    schedules,
                    "the clock was set back; computed the next times of schedules again"
                );
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot compute the next times of schedules after the clock was set back; trying again");
                false
            }
        }
    }

    async fn fire_all(&self) -> Result<Option<Micros>, StoreError> {
        let jobs = self.fire_jobs().await?;
        let schedules = self.fire_schedules().await?;
        Ok([jobs, schedules].into_iter().flatten().min())
    }

    async fn fire_schedules(&self) -> Result<Option<Micros>, StoreError> {
        let store = self.relay.store();
        loop {
            let next = store.schedules().next_due().await?;
            if next.is_none_or(|due| due > store.now()) {
                return Ok(next);
            }
            let fired = store.schedules().fire().await?;
            self.relay.publish(fired.committed).await;
            for mut created in fired.created {
                let body = created.view.body.take().unwrap_or_default().into();
                self.relay.publish_created(&created, body).await;
            }
            if !fired.more {
                return store.schedules().next_due().await;
            }
        }
    }

    async fn fire_jobs(&self) -> Result<Option<Micros>, StoreError> {
        let store = self.relay.store();
        loop {
            let next = store.next_job_due().await?;
            if next.is_none_or(|due| due > store.now()) {
                return Ok(next);
            }
            let (committed, more) = store.fire_jobs().await?;
            self.relay.publish(committed).await;
            if !more {
                return store.next_job_due().await;
            }
        }
    }

    fn until_due(&self, next: Option<Micros>) -> Duration {
        let Some(next) = next else { return LOOK };
        let left = u64::try_from(next - self.relay.store().now()).unwrap_or(0);
        Duration::from_micros(left).clamp(PAUSE, LOOK)
    }
}
