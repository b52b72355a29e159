//! Pause, resume and cancel.

use headway_domain::{JobUid, error::Action, events::Caller, slice::Disposition};
use sea_orm::FromQueryResult;

use crate::{
    db::Durability,
    error::StoreError,
    ground::{committed::Control, numbers::unsigned},
    jobs::{target::Target, view::Controlled},
    retries::retry::Retry,
    slice::rows::progress::{IN_FLIGHT, LIVE, SETTLED},
    store::Store,
};

impl Store {
    /// Applies a control action, durably.
    pub async fn control_job(
        &self,
        job: impl Into<Target<'_>>,
        action: Action,
        caller: &Caller,
    ) -> Result<Controlled, StoreError> {
        let job = job.into();
        if action == Action::Retry {
            return self.retry_job(job, &Retry::default(), caller).await;
        }
        let name = job.name;
        let meta = self.named(name).await?;
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let mut slice = job.locked(db.lock_job(&tx, &meta).await?)?;
        slice.set_caller(caller.clone());
        match action {
            Action::Pause => slice.pause(),
            Action::Resume => slice.resume(),
            Action::Cancel => slice.cancel(),
            Action::Retry => Ok(()),
        }?;
        if slice.has_changed() && db.is_suspended(&tx, &name.partition).await? {
            slice.suspend();
        }
        if slice.has_changed() {
            db.advance(&tx, &mut slice).await?;
        }
        let committed = db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        let view = self.job_known(&meta).await?;
        Ok(Controlled { view, committed })
    }
}

/// Jobs in one list at most, the newest. A worker treats a job that is not in the list as the job's
/// messages say.
const MAX_JOBS_TOLD: i64 = 10_000;

#[derive(Debug, FromQueryResult)]
struct ControlRow {
    uid: Vec<u8>,
    control: i64,
    paused: i64,
}

impl Store {
    /// The states of the jobs that are paused, or ended, while items of theirs are out: for workers
    /// that may not know. Messages of a job that has settled may still lie in its pipe if its items
    /// were discarded.
    pub async fn paused_or_ended_jobs(&self) -> Result<Vec<Control>, StoreError> {
        let db = &self.db;
        // Each half by itself, so that each finds its jobs by an index.
        let sql = format!(
            "SELECT j.uid, h.control, h.paused FROM ( \
                     SELECT * FROM (SELECT p.job_key, p.control, p.paused + p.suspended AS paused FROM job_progress p \
                       WHERE p.live = {LIVE} AND (p.paused = 1 OR p.suspended = 1 OR p.ended > 0) \
                       AND {IN_FLIGHT} > 0 \
                       ORDER BY p.job_key DESC LIMIT $1) AS live \
                     UNION ALL \
                     SELECT * FROM (SELECT p.job_key, p.control, 0 AS paused FROM job_progress p \
                       WHERE p.live = {SETTLED} AND p.ended > 0 AND p.discarded > 0 \
                       ORDER BY p.job_key DESC LIMIT $1) AS settled \
                   ) AS h JOIN job j ON j.job_key = h.job_key ORDER BY h.job_key DESC LIMIT $1"
        );
        let held: Vec<ControlRow> = db
            .all(db.work_reader(), sql, [MAX_JOBS_TOLD.into()])
            .await?;
        let control = |held: ControlRow| {
            Ok(Control {
                uid: JobUid::from_slice(&held.uid)
                    .ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?,
                control: unsigned(held.control)?,
                disposition: match held.paused {
                    0 => Disposition::Discard,
                    _ => Disposition::Park,
                },
            })
        };
        held.into_iter().map(control).collect()
    }
}
