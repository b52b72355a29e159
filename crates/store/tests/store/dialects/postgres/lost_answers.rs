//! Commits that are applied although their answers are lost: the caller's next try leads to the
//! same rows.

use std::collections::BTreeMap;

use headway_domain::{
    JobId,
    batches::Forward,
    error::Action,
    events::Caller,
    reports::{Failed, ItemEvent, PageReport},
    schedules::{Overlap, Schedule, ScheduleName, Timetable},
};
use headway_store::{OutboxMessage, PageSource, SplitPlan, Store, StoreError};

use super::outages::{repeated, through_proxy};
use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Started, Tree, flat, reports},
    name, new_job, task,
};

/// What a call is about.
struct Subject {
    /// A job of some items, of which the first four are out.
    job: Started,
    said: Vec<PageReport>,
    /// A job whose first page is to be split.
    unsplit: Started,
    source: Box<PageSource>,
    outbox: Vec<OutboxMessage>,
    schedule: ScheduleName,
}

impl Subject {
    async fn prepare(f: &Fixture, event: ItemEvent) -> Self {
        let mut driver = Driver::new(&f.store);
        let job = driver.begin(batch(), Tree::new(flat(4))).await;
        let said = reports(&driver.take_tasks(), |_| event.clone());
        let unsplit = driver.create(batch(), Tree::new(flat(4))).await;
        let outbox = driver.outbox.drain(..).collect();
        let SplitPlan::Split(source) = f.store.plan_split(unsplit.uid, 1, 0).await.unwrap() else {
            panic!("the page is split");
        };
        let schedule = ScheduleName {
            partition: job.name.partition.clone(),
            schedule: JobId::new(format!("s-{}", job.key)).unwrap(),
        };
        Self {
            job,
            said,
            unsplit,
            source: Box::new(source),
            outbox,
            schedule,
        }
    }

    async fn call(&self, store: &Store, what: &str) -> Result<(), StoreError> {
        let caller = Caller::default();
        let control = async |action| {
            store
                .control_job(&self.job.name, action, &caller)
                .await
                .map(|_| ())
        };
        match what {
            "report" => store.apply_reports(&self.said).await.map(|_| ()),
            "pause" => control(Action::Pause).await,
            "resume" => control(Action::Resume).await,
            "cancel" => control(Action::Cancel).await,
            "retry" => control(Action::Retry).await,
            "delete" => store.delete_job(&self.job.name, &caller).await.map(|_| ()),
            "split" => {
                let split = Tree::new(flat(4)).split(&self.source);
                store.record_split(&self.source, 0, split).await.map(|_| ())
            }
            "failed split" => {
                let failed = Failed::lasting("SPLIT_FAILED", "no");
                store
                    .record_split_failure(self.unsplit.uid, 1, 0, failed)
                    .await
                    .map(|_| ())
            }
            "sent" => {
                let ids: Vec<i64> = self.outbox.iter().map(|message| message.id).collect();
                store.outbox_sent(&ids).await
            }
            "schedule" => store
                .schedules()
                .create(&self.schedule, &schedule(), &caller)
                .await
                .map(|_| ()),
            "no schedule" => {
                store
                    .schedules()
                    .delete(&self.schedule, None, &caller)
                    .await
            }
            other => panic!("no call {other}"),
        }
    }
}

fn schedule() -> Schedule {
    Schedule {
        timetable: Timetable::new("0 0 1 1 *", "UTC").unwrap(),
        overlap: Overlap::Skip,
        catch_up_ms: 0,
        job: task("x"),
    }
}

/// A sum over the rows of each table.
async fn rows(f: &Fixture) -> BTreeMap<&'static str, i64> {
    let mut rows = BTreeMap::new();
    for table in [
        "job",
        "job_progress",
        "label",
        "batch",
        "page",
        "item",
        "failure",
        "event",
        "outbox",
        "sample",
        "schedule",
        "prerequisite",
        "tombstone",
    ] {
        let sql =
            format!("SELECT COALESCE(sum(hashtext(t::text)), 0)::bigint AS value FROM {table} t");
        rows.insert(table, f.ints(sql).await[0]);
    }
    rows
}

pub(crate) async fn a_repeated_call_leads_to_the_same_rows(f: Fixture) {
    let (proxy, store) = through_proxy(&f).await;
    let forward = ItemEvent::Forward(Forward {
        pipe: "second".to_owned(),
        task_type: "next".to_owned(),
        payload: b"x".to_vec(),
        content_type: String::new(),
    });
    let failed = |retryable| {
        ItemEvent::Failed(Failed {
            retryable,
            ..Failed::lasting("NO", "no")
        })
    };
    // What was done before, and the call whose answer is lost. A lease is left out: a repeated one
    // begins again.
    let calls: [(&[&str], &str, ItemEvent); 15] = [
        (&[], "report", ItemEvent::Done),
        (&[], "report", failed(false)),
        (&[], "report", failed(true)),
        (&[], "report", ItemEvent::Suspect),
        (&[], "report", forward),
        (&["cancel"], "report", ItemEvent::Discarded),
        (&[], "pause", ItemEvent::Done),
        (&["pause"], "resume", ItemEvent::Done),
        (&[], "cancel", ItemEvent::Done),
        (&["report"], "retry", failed(false)),
        (&[], "delete", ItemEvent::Done),
        (&[], "split", ItemEvent::Done),
        (&[], "failed split", ItemEvent::Done),
        (&[], "sent", ItemEvent::Done),
        (&["schedule"], "no schedule", ItemEvent::Done),
    ];
    for (before, what, event) in calls {
        let subject = Subject::prepare(&f, event.clone()).await;
        for call in before {
            subject.call(&f.store, call).await.unwrap();
        }
        let untouched = rows(&f).await;
        proxy.lose_next_change().await;
        let lost = subject.call(&store, what).await.unwrap_err();
        assert!(lost.is_passing(), "{what}: {lost}");
        let applied = rows(&f).await;
        assert_ne!(
            applied, untouched,
            "{what} {event:?}: the call was not applied"
        );
        match subject.call(&store, what).await {
            Ok(()) | Err(StoreError::Domain(_)) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        assert_eq!(
            rows(&f).await,
            applied,
            "{what} {event:?}: again is not the same"
        );
        if what != "delete" {
            audit(&f, subject.job.uid).await;
        }
        audit(&f, subject.unsplit.uid).await;
    }
}

/// A creation reads and writes in several requests; whichever answer is lost, one job comes of it.
pub(crate) async fn a_repeated_creation_makes_one_job(f: Fixture) {
    let (proxy, store) = through_proxy(&f).await;
    for skip in 0..12 {
        let one = name(&format!("n{skip}"));
        let spec = match skip % 2 {
            0 => task("x"),
            _ => batch(),
        };
        proxy.lose_answer(skip / 2).await;
        let (created, failed) =
            repeated(|| store.create_job(new_job(one.clone(), spec.clone()))).await;
        proxy.lose_nothing().await;
        // None if the answer was to a request that nobody waits for.
        assert!(failed <= 1, "{failed} tries");
        let uid = created.view.job.meta.uid;
        let counts = store.rows_of(uid).await.unwrap();
        for table in ["job", "job_progress", "batch", "page"] {
            assert_eq!(counts[table], 1, "{table} of {one}");
        }
        audit(&f, uid).await;
        let jobs = format!(
            "SELECT count(*) AS value FROM job WHERE job_id = '{}'",
            one.job
        );
        assert_eq!(f.ints(jobs).await, [1]);
    }
}

/// A job of a schedule is made, and the answer is lost when it is counted: the caller must not ask
/// for another one.
pub(crate) async fn a_job_that_could_not_be_counted(f: Fixture) {
    let (proxy, store) = through_proxy(&f).await;
    let name = ScheduleName {
        partition: name("x").partition,
        schedule: JobId::new("nightly").unwrap(),
    };
    let caller = Caller::default();
    f.store
        .schedules()
        .create(&name, &schedule(), &caller)
        .await
        .unwrap();
    // The first one also notes that its pipe is used.
    store.schedules().run(&name, "", &caller).await.unwrap();
    proxy.lose_change(1).await;
    store.schedules().run(&name, "", &caller).await.unwrap();
    assert!(!proxy.lose_nothing().await, "an answer was lost");
    assert_eq!(f.count("job").await, 2);
}
