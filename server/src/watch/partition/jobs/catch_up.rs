//! How a watcher that resumes, or that fell behind, learns from the database what it missed.

use std::collections::BTreeSet;

use headway_domain::{JobUid, Micros, events::EventKind};
use headway_store::{EventQuery, Position, StoreError};

use super::{CHUNK, Follower, JobsUpdate, Since, Stage, gone};
use crate::{
    grpc::status::ApiError,
    watch::partition::{log::Gone, task::COMMIT_LAG},
};

/// Events that a resuming watcher reads at once.
const EVENTS: u32 = 500;
/// The most changed jobs that a resuming watcher looks at. If there may be more, it begins again.
const CHANGED: u32 = 10_000;

/// What a watcher missed and has not been sent yet.
pub(super) struct Missed {
    /// The position up to which the audit log was read; `None` at its end.
    events: Option<Position>,
    /// The time from which unsettled jobs are compared; `None` once they were.
    changed: Option<Micros>,
    deleted: Vec<Gone>,
    jobs: BTreeSet<JobUid>,
    /// The newest mark at the beginning.
    since: Since,
}

impl Follower {
    /// Takes from here on what changed after a point in time.
    pub(super) fn miss(&mut self, from: Since, present: Since) {
        self.stage = Stage::Missed(Missed {
            events: Some(from.position),
            changed: Some(from.time.saturating_sub(COMMIT_LAG)),
            deleted: Vec::new(),
            jobs: BTreeSet::new(),
            since: present,
        });
    }

    /// One step of catching up: first events, then unsettled jobs, then the states of all of them.
    pub(super) async fn catch_up(
        &mut self,
        mut missed: Missed,
    ) -> Result<Option<JobsUpdate>, ApiError> {
        let partition = self.watched.feed.partition.clone();
        if let Some(after) = missed.events {
            let query = EventQuery {
                partition,
                job: None,
                kinds: Vec::new(),
            };
            let page = match self.store.events().list(&query, after, EVENTS).await {
                Ok(page) => page,
                Err(StoreError::CursorExpired { .. }) => {
                    self.relist(missed.since);
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            missed.events = Some(page.next).filter(|_| page.more);
            for row in page.events {
                let Some(name) = row.name else {
                    continue;
                };
                if row.kind == EventKind::Deleted {
                    missed.jobs.remove(&row.uid);
                    missed.deleted.push(gone(row.uid, name, true));
                } else {
                    missed.jobs.insert(row.uid);
                }
            }
        } else if let Some(since) = missed.changed.take() {
            let changed = self.store.changed_jobs(&partition, since, CHANGED).await?;
            if changed.len() >= CHANGED as usize {
                self.relist(missed.since);
                return Ok(None);
            }
            missed.jobs.extend(changed.into_iter().map(|(uid, _)| uid));
        }
        let reading = missed.events.is_some() || missed.changed.is_some();
        if reading && missed.jobs.len() < CHUNK && missed.deleted.len() < CHUNK {
            self.stage = Stage::Missed(missed);
            return Ok(None);
        }
        let most = missed.deleted.len().min(CHUNK);
        let mut update = JobsUpdate {
            gone: missed.deleted.drain(..most).collect(),
            ..JobsUpdate::default()
        };
        let uids = std::iter::from_fn(|| missed.jobs.pop_first());
        let uids: Vec<_> = uids.take(CHUNK).collect();
        for (_, view) in self.store.job_states(&uids).await?.views {
            self.say(view, &mut update);
        }
        if !reading && missed.jobs.is_empty() && missed.deleted.is_empty() {
            self.since = Some(missed.since);
            update.listed = true;
            update.since = self.since;
            return Ok(Some(update));
        }
        self.stage = Stage::Missed(missed);
        Ok(Some(update).filter(|update| !update.jobs.is_empty() || !update.gone.is_empty()))
    }
}
