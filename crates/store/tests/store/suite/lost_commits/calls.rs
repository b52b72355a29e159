//! The calls of the operations.

use std::collections::BTreeMap;

use headway_domain::{
    JobId, JobName, PipeName,
    batches::Forward,
    error::Action,
    events::Caller,
    jobs::{JobUpdate, Retention},
    partitions::PartitionShare,
    pipes::{PipeLimits, Share},
    prerequisites::Prerequisite,
    reports::{Failed, ItemEvent, ItemReport},
    schedules::Overlap,
};
use headway_store::{Committed, DeadLetterFilter, FailureFilter, Retry, Store, StoreError};

use super::subject::{HOUR, Subject, schedule, schedule_name};
use crate::suite::{
    PIPE,
    driver::{SESSION, Tree, flat},
    failures::failure,
    name, new_job, task,
};

impl Subject {
    /// The call.
    pub(crate) async fn call(&self, store: &Store, operation: &str) -> Result<(), StoreError> {
        let (job, unsplit, caller) = (&self.job, &self.unsplit, &Caller::default());
        let partition = &job.name.partition;
        match operation {
            "shrink" => store.shrink().await.map(|_| ()),
            "connect" => Store::connect(&self.config).await.map(|_| ()),
            "create job" => {
                let job = new_job(name(&self.fresh.to_string()), self.spec());
                store.create_job(job).await.map(|_| ())
            }
            "create waiting job" => {
                let mut spec = task("x");
                spec.prerequisites = vec![Prerequisite {
                    job: job.name.job.clone(),
                    optional: false,
                }];
                let job = new_job(name(&self.fresh.to_string()), spec);
                store.create_job(job).await.map(|_| ())
            }
            "pause job" => control(store, &job.name, Action::Pause).await,
            "retry job" => control(store, &job.name, Action::Retry).await,
            "retry failures" => {
                let retry = Retry {
                    filter: FailureFilter {
                        codes: vec!["NO".to_owned()],
                        ..FailureFilter::default()
                    },
                    ..Retry::default()
                };
                store.retry_job(&job.name, &retry, caller).await.map(|_| ())
            }
            "delete job" => store.delete_job(&job.name, caller).await.map(|_| ()),
            "delete jobs" => {
                let jobs = [(job.name.job.to_string(), caller.clone())];
                store.delete_jobs(partition, &jobs).await.map(|_| ())
            }
            "update job" => {
                let update = JobUpdate {
                    priority: Some(8),
                    labels: Some(BTreeMap::from([("team".to_owned(), "red".to_owned())])),
                    ..JobUpdate::default()
                };
                store
                    .update_job(&job.name, update, caller)
                    .await
                    .map(|_| ())
            }
            "drop dead letters" => {
                let filter = DeadLetterFilter {
                    partition: partition.clone(),
                    pipe: None,
                    job: None,
                };
                store
                    .pipes()
                    .drop_dead_letters(&filter, caller)
                    .await
                    .map(|_| ())
            }
            "apply reports" => store.apply_reports(&self.done).await.map(|_| ()),
            "apply forwards" => {
                let forward = Forward {
                    pipe: format!("pipe-{}", self.fresh),
                    task_type: "next".to_owned(),
                    payload: b"x".to_vec(),
                    content_type: String::new(),
                };
                let mut said = self.done.clone();
                for report in &mut said {
                    let items = std::mem::take(&mut report.done).into_iter();
                    report.items = items
                        .map(|index| ItemReport {
                            index,
                            attempt: 0,
                            stage: 0,
                            event: ItemEvent::Forward(forward.clone()),
                        })
                        .collect();
                }
                store.apply_reports(&said).await.map(|_| ())
            }
            "renew leases" => store.renew_leases(SESSION).await.map(|_| ()),
            "record split" | "record split after a failure" => {
                let source = self.source.as_ref().unwrap();
                let split = Tree::new(flat(4)).split(source);
                let attempt = u32::from(operation != "record split");
                store.record_split(source, attempt, split).await.map(|_| ())
            }
            "record split failure" => {
                let fault = Failed {
                    retryable: true,
                    ..failure("SPLIT_FAILED", "no")
                };
                store
                    .record_split_failure(unsplit.uid, 1, 0, fault)
                    .await
                    .map(|_| ())
            }
            "plan dispatch" => store.plan_dispatch(job.uid, 1, &[0, 1]).await.map(|_| ()),
            "outbox sent" => store.outbox_sent(&self.outbox).await,
            "defer dispatch" => {
                let (indexes, hour) = ([1, 3].into_iter().collect(), 3600);
                let hour = std::time::Duration::from_secs(hour);
                store.defer_dispatch(job.uid, 1, 0, indexes, hour).await
            }
            "outbox overdue" => store.outbox_overdue(-1_000_000, 100).await.map(|_| ()),
            "hasten deferred" => store.hasten_deferred().await,
            "discard untaken" => store.discard_untaken(job.key, PIPE, 0).await.map(|_| ()),
            "set partition" => {
                let share = PartitionShare {
                    weight: 7,
                    ..PartitionShare::default()
                };
                store
                    .partitions()
                    .update(partition, &Retention::default(), &share, None, caller)
                    .await
            }
            "suspend partition" => {
                store
                    .partitions()
                    .set_suspended(partition, true, caller)
                    .await
            }
            "walk partition" => store.walk_partition(partition, 0).await.map(|_| ()),
            "set pipe limits" | "remove pipe limits" => {
                let limits = PipeLimits {
                    in_flight: Some(5).filter(|_| operation == "set pipe limits"),
                    per_second: None,
                };
                let pipe = PipeName::new(PIPE).unwrap();
                store.pipes().set_limits(&pipe, &limits, None, caller).await
            }
            "unused pipes" => store.pipes().unused().await.map(|_| ()),
            "forget pipe" => store.pipes().forget("spare").await.map(|_| ()),
            "fire items" => {
                for shard in 0..store.shards() {
                    store.fire_items(shard, i64::MAX).await?;
                }
                Ok(())
            }
            "fire jobs" => store.fire_jobs().await.map(|_| ()),
            "fire pages" => store.fire_pages().await.map(|_| ()),
            "advance idle" => store.advance_idle(1_000_000, 0).await.map(|_| ()),
            "repair job" => store.repair_job(job.key, self.before).await.map(|_| ()),
            "release dependents" => until_none(|| store.release_dependents()).await,
            "audit job" => {
                let mut after = 0;
                loop {
                    after = store.audit_job(after).await?.1;
                    if after == 0 {
                        return Ok(());
                    }
                }
            }
            "expire jobs" => store.expire_jobs().await.map(|_| ()),
            "expire events" => store.events().expire(store.now() + HOUR).await.map(|_| ()),
            "expire tombstones" => store.expire_tombstones(i64::MAX).await.map(|_| ()),
            "collect garbage" => {
                while store.collect_garbage().await? {}
                Ok(())
            }
            "forget unreadable" => store.forget_unreadable().await.map(|_| ()),
            "publish rates" => {
                let rates = BTreeMap::from([(PIPE.to_owned(), 3.0)]);
                store.pipes().publish_rates(self.fresh, &rates, HOUR).await
            }
            "set shares" => {
                let shares = [(job.key, Share::of(2)), (unsplit.key, Share::of(3))];
                store.set_shares(&shares).await.map(|_| ())
            }
            "claim shards" => store.claim_shards(self.fresh, HOUR).await.map(|_| ()),
            "release shards" => store.release_shards(self.fresh).await,
            "begin epoch" => store.begin_epoch(self.epoch, self.fresh).await.map(|_| ()),
            _ => self.call_of_definition(store, operation, caller).await,
        }
    }

    async fn call_of_definition(
        &self,
        store: &Store,
        operation: &str,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        let (kind, named) = (JobId::new("resize").unwrap(), schedule_name());
        let timetable = schedule(store.now(), Overlap::Allow);
        match operation {
            "create job type" => store
                .job_types()
                .create(&kind, "{}", caller)
                .await
                .map(|_| ()),
            "update job type" => store
                .job_types()
                .update(&kind, "{\"a\": 1}", Some(&self.etag), caller)
                .await
                .map(|_| ()),
            "delete job type" => store.job_types().delete(&kind, None, caller).await,
            "create schedule" => {
                let created = store.schedules().create(&named, &timetable, caller);
                created.await.map(|_| ())
            }
            "update schedule" => {
                let updated = store.schedules().update(&named, &timetable, None, caller);
                updated.await.map(|_| ())
            }
            "pause schedule" => {
                let paused = store.schedules().set_paused(&named, true, caller);
                paused.await.map(|_| ())
            }
            "delete schedule" => store.schedules().delete(&named, None, caller).await,
            "run schedule" => store.schedules().run(&named, "", caller).await.map(|_| ()),
            "realign schedules" => store.schedules().realign().await.map(|_| ()),
            fire if fire.starts_with("fire") => store.schedules().fire().await.map(|_| ()),
            other => panic!("no operation {other}"),
        }
    }
}

async fn control(store: &Store, job: &JobName, action: Action) -> Result<(), StoreError> {
    let caller = Caller::default();
    let controlled = store.control_job(job, action, &caller);
    controlled.await.map(|_| ())
}

/// Calls until there is no more.
async fn until_none<Answer>(mut call: impl FnMut() -> Answer) -> Result<(), StoreError>
where
    Answer: Future<Output = Result<(Committed, bool), StoreError>>,
{
    while call().await?.1 {}
    Ok(())
}
