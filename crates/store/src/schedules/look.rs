//! A look at one schedule whose time has come.

use headway_domain::{
    Error, JobName, JobState, Micros, error::Action, events::Caller, schedules::OverlapAction,
};

use crate::{
    error::StoreError,
    ground::committed::Committed,
    schedules::{Schedules, fire::FiredSchedules, jobs::new_job, row::keyed, view::ScheduleView},
};

/// How long a time waits until it is tried again, while its partition has what its quotas allow.
const FULL_RETRY_US: Micros = 1_000_000;

impl Schedules<'_> {
    pub(crate) async fn look(
        self,
        view: &ScheduleView,
        now: Micros,
        fired: &mut FiredSchedules,
    ) -> Result<(), StoreError> {
        let due = view.schedule.due(view.next.unwrap_or(now), now);
        let (mut last, mut last_job) = (view.last.unwrap_or(0), view.last_job.clone());
        let (mut made, mut skipped) = (0, due.missed);
        let (mut next, mut again) = (due.next.unwrap_or(0), 0);
        let before = self.jobs_made(view, &due.times).await?;
        for time in due.times {
            let name = view.name.job(time)?;
            // A look that was cut short made it. It must not count as an earlier job that has not
            // ended.
            if before.contains(name.as_str()) {
                (last, last_job) = (time, name.to_string());
                made += 1;
                continue;
            }
            let open = self.open_jobs(view).await?;
            let states: Vec<JobState> = open.iter().map(|(_, state)| *state).collect();
            let after = match view.schedule.overlap.action(&states) {
                OverlapAction::Create => Vec::new(),
                OverlapAction::CreateAfterOpen => {
                    open.into_iter().map(|(name, _)| name.job).collect()
                }
                OverlapAction::Skip => {
                    skipped += 1;
                    continue;
                }
                OverlapAction::CancelOpen => {
                    for (before, _) in &open {
                        fired.committed.merge(self.cancel_previous(before).await?);
                    }
                    Vec::new()
                }
            };
            let caller = Caller {
                user: view.creator.clone(),
                correlation: view.name.schedule.to_string(),
            };
            let job = new_job(view, name, &caller, after);
            match self.store.create_job(job).await {
                Ok(created) => {
                    (last, last_job) = (time, created.view.job.meta.name.job.to_string());
                    made += 1;
                    fired.created.push(created);
                }
                // There may be room before the time is too late.
                Err(StoreError::Domain(
                    Error::QuotaExceeded { .. } | Error::TooManyPipes { .. },
                )) => {
                    (next, again) = (time, now + FULL_RETRY_US);
                    break;
                }
                // Another look made it meanwhile.
                Err(StoreError::Domain(Error::JobExists(name)))
                    if self.has_made(&name, view).await? =>
                {
                    (last, last_job) = (time, name.job.to_string());
                    made += 1;
                }
                // A client has a job of its own under this id.
                Err(StoreError::Domain(error)) => {
                    tracing::warn!(schedule = %view.name, %error, "cannot create the job of a schedule; skipping this time");
                    skipped += 1;
                }
                Err(error) => return Err(error),
            }
        }
        // Where it was changed meanwhile, the next look is where that said. Jobs that another look
        // made and counted meanwhile are not counted twice.
        let sql = "UPDATE schedule SET next_due = CASE WHEN next_due = $8 THEN $3 ELSE next_due END, \
                   claimed = CASE WHEN next_due = $8 THEN $9 ELSE claimed END, \
                   last_due = $4, last_job = $5, \
                   made = made + CASE WHEN next_due = $8 OR last_due < $4 THEN $6 ELSE 0 END, skipped = skipped + $7 \
                   WHERE partition_id = $1 AND schedule_id = $2 AND created = $10";
        let mut values = keyed(&view.name);
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        values.extend([
            next.into(),
            last.into(),
            last_job.into(),
            count(made).into(),
            count(skipped).into(),
            view.next.unwrap_or(0).into(),
            again.into(),
            view.created.into(),
        ]);
        self.store.db.run_alone(sql, values).await?;
        Ok(())
    }

    async fn cancel_previous(self, name: &JobName) -> Result<Committed, StoreError> {
        let caller = Caller {
            user: "headway".to_owned(),
            correlation: String::new(),
        };
        match self.store.control_job(name, Action::Cancel, &caller).await {
            Ok(controlled) => Ok(controlled.committed),
            // It ended, or was deleted, at this moment.
            Err(StoreError::Domain(_)) => Ok(Committed::default()),
            Err(error) => Err(error),
        }
    }
}
