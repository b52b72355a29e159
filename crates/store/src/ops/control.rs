//! Pause, resume, cancel, retry and delete.

use std::sync::Arc;

use headway_domain::{
    Error, JobName, JobSlice, JobUid,
    effect::Disposition,
    error::Action,
    event::{Caller, EventKind, NewEvent},
    job::JobMeta,
};
use sea_orm::{FromQueryResult, Value};

use super::read::JobView;
use crate::{
    Change, Committed, Control, Store,
    db::{Durability, bulk::Conflict, keys},
    error::StoreError,
    rows::{
        event::{EVENT, event_cells},
        unsigned,
    },
};

/// Rows of deleted jobs that one transaction removes from a table at most.
const GARBAGE: i64 = 5000;
/// Deleted jobs whose rows one transaction removes at most.
const COLLECTED: i64 = 200;

/// Jobs that one call deletes because their time is over.
const EXPIRED: i64 = 50;

/// Held jobs that are told of at once at most, the newest; a job that a worker does not hear of is as its messages say.
const HELD: i64 = 10_000;

#[derive(Debug, FromQueryResult)]
struct Garbage {
    job_key: i64,
}

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
        match self.remove(&meta, caller, |_| true).await? {
            Some(committed) => Ok(committed),
            None => Err(Error::JobNotFound(name.clone()).into()),
        }
    }

    /// Deletes some jobs whose time is over; whether there may be more.
    pub async fn expire_jobs(&self) -> Result<(Committed, bool), StoreError> {
        let sql = "SELECT job_key AS value FROM job_progress WHERE expires > 0 AND expires <= $1 ORDER BY expires LIMIT $2";
        let now = self.db.now();
        let keys = self.keys(sql, [now.into(), EXPIRED.into()]).await?;
        let more = keys.len() as i64 == EXPIRED;
        let caller = Caller {
            user: "headway".to_owned(),
            correlation: String::new(),
        };
        let mut committed = Committed::default();
        for key in keys {
            let Some(meta) = self.meta_by_key(key).await? else {
                continue;
            };
            // It may have been retried meanwhile.
            let over = |slice: &JobSlice| slice.job.expires.is_some_and(|expires| expires <= now);
            committed.merge(self.remove(&meta, &caller, over).await?.unwrap_or_default());
        }
        Ok((committed, more))
    }

    async fn remove(
        &self,
        meta: &Arc<JobMeta>,
        caller: &Caller,
        wanted: impl FnOnce(&JobSlice) -> bool,
    ) -> Result<Option<Committed>, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let slice = db.lock_job(&tx, meta).await?;
        let Some(mut slice) = slice.filter(wanted) else {
            return Ok(None);
        };
        let key: Value = meta.key.into();
        // What is due of a job that is gone must not stand before what is due of others until it is collected.
        let counts = &slice.job.counts;
        for (any, sql) in [
            (
                counts.item_rows,
                "UPDATE item SET due = 0, lease_until = 0 WHERE job_key = $1 AND (due > 0 OR lease_until > 0)",
            ),
            (
                counts.unsplit,
                "UPDATE page SET due = 0 WHERE job_key = $1 AND due > 0",
            ),
        ] {
            if any > 0 {
                db.run(&*tx, sql, [key.clone()]).await?;
            }
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
        Ok(Some(committed))
    }

    /// Removes some rows of deleted jobs; whether there may be more.
    pub async fn collect_garbage(&self) -> Result<bool, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let sql = format!(
            "SELECT job_key FROM garbage ORDER BY job_key LIMIT $1{}",
            db.skip_locked()
        );
        let keys: Vec<Garbage> = db.all(&*tx, sql, [COLLECTED.into()]).await?;
        if keys.is_empty() {
            return Ok(false);
        }
        let list = keys::ints(keys.iter().map(|garbage| garbage.job_key));
        for (table, columns) in [
            ("item", "job_key, page, idx"),
            ("page", "job_key, number"),
            ("batch", "job_key, number"),
            ("failure", "job_key, run, seq"),
            ("sample", "job_key, at"),
            ("prerequisite", "job_key, number"),
        ] {
            let sql = format!(
                "DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM {table} WHERE {} LIMIT $2)",
                db.is_in("job_key", 1)
            );
            let gone = db.run(&*tx, sql, [list.clone(), GARBAGE.into()]).await?;
            if gone >= GARBAGE as u64 {
                tx.commit().await?;
                return Ok(true);
            }
        }
        let sql = format!("DELETE FROM garbage WHERE {}", db.is_in("job_key", 1));
        db.run(&*tx, sql, [list]).await?;
        tx.commit().await?;
        Ok(keys.len() as i64 == COLLECTED)
    }
}
