//! Changing what a job is to do.

use headway_domain::{
    events::Caller,
    jobs::{JobUpdate, Retention},
};

use crate::{
    db::Durability,
    error::StoreError,
    jobs::{target::Target, view::Controlled},
    pipes::rates::FIRST_ALLOWANCE,
    store::Store,
};

impl Store {
    /// Changes some of a job's spec, durably. The new values must be valid; what the retention does
    /// not say is as the partition says now.
    pub async fn update_job(
        &self,
        job: impl Into<Target<'_>>,
        mut update: JobUpdate,
        caller: &Caller,
    ) -> Result<Controlled, StoreError> {
        let job = job.into();
        let name = job.name;
        let meta = self.named(name).await?;
        if let Some(retention) = update.retention.take() {
            let default: Retention = self.partitions().get(&name.partition).await?.retention;
            update.retention = Some(retention.or(&default));
        }
        let db = &self.db;
        let tx = db.write(Durability::Full).await?;
        let mut slice = job.locked(db.lock_job(&tx, &meta).await?)?;
        slice.set_caller(caller.clone());
        let before = slice.job().meta.clone();
        if slice.update(&update) {
            if slice.job().meta.spec.max_in_flight > before.spec.max_in_flight {
                slice.widen_allowance(FIRST_ALLOWANCE);
            }
            db.advance(&tx, &mut slice).await?;
        }
        let changed = slice.job().meta.clone();
        let committed = db.write_slices(&tx, vec![slice]).await?;
        db.write_spec(&tx, &before, &changed).await?;
        tx.commit().await?;
        let view = self.job_known(&meta).await?;
        Ok(Controlled { view, committed })
    }
}
