//! Counting jobs by their states.

use headway_domain::{JobState, PartitionId, error::Action, events::Caller};
use headway_store::JobFilter;

use crate::suite::{
    Fixture, acme,
    create::accept,
    driver::{Driver, Tree},
    name_in, new_job, task,
};

pub(crate) async fn counts_by_state(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    for number in 0..3 {
        accept(&f.store, &format!("active-{number}"), task("x")).await;
    }
    let paused = accept(&f.store, "paused", task("x")).await;
    let pause = f
        .store
        .control_job(
            &paused.view.job.meta.name,
            Action::Pause,
            &Caller::default(),
        )
        .await;
    pause.unwrap();
    let done = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&done).await;
    let other = new_job(name_in("other", "x"), task("x"));
    f.store.create_job(other).await.unwrap();
    let counts = f
        .store
        .count_jobs(&acme(), &JobFilter::default())
        .await
        .unwrap();
    let expected = [
        (JobState::Active, 3),
        (JobState::Paused, 1),
        (JobState::Completed, 1),
    ];
    assert_eq!(counts, expected);
    f.store
        .delete_job(&done.name, &Caller::default())
        .await
        .unwrap();
    assert_eq!(
        f.store
            .count_jobs(&acme(), &JobFilter::default())
            .await
            .unwrap(),
        expected[..2]
    );
    let nobody = PartitionId::new("nobody").unwrap();
    assert_eq!(
        f.store
            .count_jobs(&nobody, &JobFilter::default())
            .await
            .unwrap(),
        []
    );
}
