//! Pause, resume, cancel, retry and delete.

use headway_domain::{
    Error, JobName, JobUid,
    effect::Disposition,
    error::Action,
    event::{Caller, EventKind, NewEvent},
};
use sea_orm::{FromQueryResult, Value};

use super::read::JobView;
use crate::{
    Change, Committed, Control, Store,
    db::{Durability, bulk::Conflict},
    error::StoreError,
    rows::{
        event::{EVENT, event_cells},
        unsigned,
    },
};

/// Rows of a deleted job that one transaction removes at most.
const GARBAGE: i64 = 5000;

/// Held jobs that are told of at once at most, the newest; a job that a worker does not hear of is as its messages say.
const HELD: i64 = 10_000;

#[derive(Debug, FromQueryResult)]
struct Held {
    uid: Vec<u8>,
    control: i64,
    paused: i64,
}

/// A job after a control action.
#[derive(Debug, Clone)]
pub struct Controlled {
    /// The job as it is now.
    pub view: JobView,
    /// What is to be published now.
    pub committed: Committed,
}

impl Store {
    /// Applies a control action, durably.
    pub async fn control_job(
        &self,
        name: &JobName,
        action: Action,
        caller: &Caller,
    ) -> Result<Controlled, StoreError> {
        let meta = self.named(name).await?;
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let mut slice = db
            .lock_job(&tx, &meta)
            .await?
            .ok_or_else(|| Error::JobNotFound(name.clone()))?;
        slice.caller = caller.clone();
        match action {
            Action::Pause => slice.pause(),
            Action::Resume => slice.resume(),
            Action::Cancel => slice.cancel(),
            Action::Retry | Action::RetryWithDependents => slice.retry(),
        }?;
        if slice.changed && db.is_suspended(&tx, &name.partition).await? {
            slice.suspend();
        }
        let waits = match action {
            Action::Retry | Action::RetryWithDependents => db.wait_again(&tx, &mut slice).await?,
            Action::Pause | Action::Resume | Action::Cancel => false,
        };
        if action == Action::RetryWithDependents {
            self.owe_retries(&tx, &meta).await?;
        }
        if slice.changed {
            db.advance(&tx, &mut slice).await?;
        }
        let mut committed = db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        committed.releases |= waits || action == Action::RetryWithDependents;
        let view = self.job(name).await?;
        Ok(Controlled { view, committed })
    }

    /// The states of the jobs that are paused, or ended, while items of theirs are out: for workers that may not know.
    pub async fn held_jobs(&self) -> Result<Vec<Control>, StoreError> {
        let db = &self.db;
        let sql = "SELECT j.uid, p.control, p.paused + p.suspended AS paused FROM job_progress p JOIN job j ON j.job_key = p.job_key \
                   WHERE p.live = 1 AND (p.paused = 1 OR p.suspended = 1 OR p.ended > 0) \
                   AND p.known - p.done - p.failed - p.discarded - p.unreleased - p.parked - p.delayed > 0 \
                   ORDER BY p.job_key DESC LIMIT $1";
        let held: Vec<Held> = db.all(db.reader(), sql, [HELD.into()]).await?;
        let control = |held: Held| {
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

    /// Removes a job, durably: it is gone at once, and what it leaves is removed by [`Store::collect_garbage`].
    /// Workers are told to drop its items.
    pub async fn delete_job(
        &self,
        name: &JobName,
        caller: &Caller,
    ) -> Result<Committed, StoreError> {
        let meta = self.named(name).await?;
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let mut slice = db
            .lock_job(&tx, &meta)
            .await?
            .ok_or_else(|| Error::JobNotFound(name.clone()))?;
        let key: Value = meta.key.into();
        // What is due of a job that is gone must not stand before what is due of others until it is collected.
        for sql in [
            "UPDATE item SET due = 0, lease_until = 0 WHERE job_key = $1 AND (due > 0 OR lease_until > 0)",
            "UPDATE page SET due = 0 WHERE job_key = $1 AND due > 0",
        ] {
            db.run(&*tx, sql, [key.clone()]).await?;
        }
        let releases = db.bury(&tx, &slice).await?;
        for table in ["label", "job_progress", "job"] {
            db.run(
                &*tx,
                format!("DELETE FROM {table} WHERE job_key = $1"),
                [key.clone()],
            )
            .await?;
        }
        db.run(&*tx, "INSERT INTO garbage (job_key) VALUES ($1)", [key])
            .await?;
        slice.job.revision += 1;
        slice.job.updated = db.now().max(slice.job.updated);
        let job = slice.job;
        let event = NewEvent {
            kind: EventKind::Deleted,
            state: job.state(),
            message: String::new(),
            batch: None,
            items: job.counts.done,
        };
        let event = event_cells(&job, &event, caller);
        EVENT.write(db, &tx, vec![event], Conflict::Fail).await?;
        tx.commit().await?;
        let mut committed = Committed {
            releases,
            ..Committed::default()
        };
        committed.changes.push(Change {
            uid: meta.uid,
            partition: meta.name.partition.clone(),
            revision: job.revision,
            time: job.updated,
            deleted: true,
        });
        if !job.phase.is_final() || job.settled.is_none() {
            committed.controls.push(Control {
                uid: meta.uid,
                control: u32::MAX,
                disposition: Disposition::Discard,
            });
        }
        Ok(committed)
    }

    /// Removes some rows of deleted jobs; whether there may be more.
    pub async fn collect_garbage(&self) -> Result<bool, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let sql = format!(
            "SELECT job_key AS value FROM garbage ORDER BY job_key LIMIT 1{}",
            db.skip_locked()
        );
        let Some(key) = db.one_int(&*tx, sql, []).await? else {
            return Ok(false);
        };
        for (table, columns) in [
            ("item", "job_key, page, idx"),
            ("page", "job_key, number"),
            ("batch", "job_key, number"),
            ("failure", "job_key, run, seq"),
            ("sample", "job_key, at"),
            ("prerequisite", "job_key, number"),
        ] {
            let sql = format!(
                "DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM {table} WHERE job_key = $1 LIMIT $2)"
            );
            let gone = db.run(&*tx, sql, [key.into(), GARBAGE.into()]).await?;
            if gone > 0 {
                tx.commit().await?;
                return Ok(true);
            }
        }
        db.run(&*tx, "DELETE FROM garbage WHERE job_key = $1", [key.into()])
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}
