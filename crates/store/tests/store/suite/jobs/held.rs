//! Jobs whose items must not run, and items that nobody took.

use headway_domain::{batches::Forward, error::Action, reports::ItemEvent, slice::Disposition};

use crate::suite::{
    Fixture, PIPE,
    audit::audit,
    batch,
    driver::{Driver, Tree, flat},
};

/// Jobs that workers must not run are told of while anything of them is out.
pub(crate) async fn held_jobs_are_told_of(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(3))).await;
    let tasks = driver.take_tasks();
    let runs = driver.begin(batch(), Tree::new(flat(3))).await;
    let held = async |f: &Fixture| f.store.paused_or_ended_jobs().await.unwrap();
    assert!(held(&f).await.is_empty());
    driver.control(&job, Action::Pause).await;
    let told = held(&f).await;
    assert_eq!(told, driver.controls);
    assert_eq!(
        (told[0].uid, told[0].disposition),
        (job.uid, Disposition::Park)
    );
    driver.control(&job, Action::Resume).await;
    assert!(held(&f).await.is_empty());
    driver.control(&job, Action::Cancel).await;
    let told = held(&f).await;
    assert_eq!(told, driver.controls);
    assert_eq!(told[0].disposition, Disposition::Discard);
    driver.answer(&tasks, |_| ItemEvent::Discarded).await;
    // Messages of it may be left in the pipe where its items were discarded without them.
    assert!(driver.job(&job).await.settled.is_some());
    assert_eq!(held(&f).await, told);
    driver.control(&job, Action::Retry).await;
    assert!(held(&f).await.is_empty(), "it runs again");
    driver.finish_well(&runs).await;
}

/// A message may have to hold fewer items than allowed, so there may be as many messages as items.
pub(crate) async fn as_many_messages_as_items_may_be_out(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut spec = batch();
    spec.items_per_message = 4;
    driver.begin(spec, Tree::new(flat(8))).await;
    assert_eq!(f.store.pipes().messages_out(PIPE).await.unwrap(), 8);
}

/// What nobody took is discarded, but for items that run under a lease or lie in another pipe; late
/// reports change nothing.
pub(crate) async fn what_nobody_took_is_discarded(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(100)).in_pages_of(1))
        .await;
    let tasks = driver.take_tasks();
    driver.say(&tasks[0], ItemEvent::Leased).await;
    let forward = ItemEvent::Forward(Forward {
        pipe: "elsewhere".to_owned(),
        task_type: "next".to_owned(),
        payload: b"x".to_vec(),
        content_type: String::new(),
    });
    driver.say(&tasks[1], forward).await;
    driver.pump().await;
    let forwarded = driver.take_tasks();
    assert_eq!(f.store.pipes().messages_out(PIPE).await.unwrap(), 99);
    assert_eq!(f.store.pipes().messages_out("elsewhere").await.unwrap(), 1);
    // Nothing is taken from a job that runs.
    let nothing = f.store.discard_untaken(job.key, PIPE, 0).await.unwrap();
    assert_eq!(
        (
            nothing.0.changes.len(),
            f.store.unsettled_jobs().await.unwrap().len()
        ),
        (0, 0)
    );
    driver.control(&job, Action::Cancel).await;
    let unsettled = f.store.unsettled_jobs().await.unwrap();
    let pipes: Vec<_> = unsettled.iter().map(|job| job.pipe.as_str()).collect();
    assert_eq!(pipes, ["elsewhere", PIPE]);
    let mut after = Some(0);
    let mut rounds = 0;
    while let Some(page) = after {
        let (committed, next) = f.store.discard_untaken(job.key, PIPE, page).await.unwrap();
        driver.take(committed);
        (after, rounds) = (next, rounds + 1);
    }
    assert!(rounds > 1);
    let left = driver.job(&job).await;
    assert_eq!((left.counts.discarded, left.settled), (98, None));
    assert_eq!(
        driver
            .answer(&tasks[2..], |_| ItemEvent::Done)
            .await
            .applied,
        0
    );
    driver.answer(&tasks[..1], |_| ItemEvent::Discarded).await;
    driver.answer(&forwarded, |_| ItemEvent::Discarded).await;
    let settled = driver.job(&job).await;
    assert_eq!(settled.counts.discarded, 100);
    assert!(settled.settled.is_some());
    audit(&f, job.uid).await;
}
