//! Changes that are only tried: they do everything but commit.

use headway_domain::{
    Error, JobId, PartitionId, PipeName,
    events::Caller,
    jobs::Retention,
    partitions::PartitionShare,
    pipes::PipeLimits,
    reports::ItemEvent,
    schedules::{Overlap, Schedule, ScheduleName, Timetable},
};
use headway_store::{DeadLetterFilter, StoreError};

use crate::suite::{
    Fixture, acme,
    driver::{Driver, Tree},
    failures::failure,
    task,
};

fn daily() -> Schedule {
    Schedule {
        timetable: Timetable::new("@daily", "").unwrap(),
        overlap: Overlap::Skip,
        catch_up_ms: 60_000,
        job: task("tick"),
    }
}

pub(crate) async fn schedules_stay_as_they_are(f: Fixture) {
    let caller = Caller::default();
    let name = ScheduleName {
        partition: PartitionId::new("acme").unwrap(),
        schedule: JobId::new("plan").unwrap(),
    };
    let schedules = f.store.schedules();
    let tried = schedules.rehearsing(true);
    let would_be = tried.create(&name, &daily(), &caller).await.unwrap();
    assert_eq!(would_be.name, name);
    assert!(would_be.next.is_some());
    let none = schedules.get(&name).await.unwrap_err();
    assert!(matches!(
        none,
        StoreError::Domain(Error::ScheduleNotFound(_))
    ));
    let made = schedules.create(&name, &daily(), &caller).await.unwrap();
    let taken = tried.create(&name, &daily(), &caller).await.unwrap_err();
    assert!(matches!(
        taken,
        StoreError::Domain(Error::ScheduleExists(_))
    ));
    let weekly = Schedule {
        timetable: Timetable::new("@weekly", "").unwrap(),
        ..daily()
    };
    let would_be = tried.update(&name, &weekly, None, &caller).await.unwrap();
    assert_eq!(would_be.schedule.timetable.cron, "@weekly");
    assert_ne!(would_be.etag, made.etag);
    let other = tried.update(&name, &weekly, Some("x"), &caller).await;
    assert!(matches!(
        other.unwrap_err(),
        StoreError::Domain(Error::EtagMismatch(_))
    ));
    tried.delete(&name, None, &caller).await.unwrap();
    assert_eq!(schedules.get(&name).await.unwrap().etag, made.etag);
    assert_eq!(f.count("event").await, 1, "the one that was made");
}

pub(crate) async fn settings_stay_as_they_are(f: Fixture) {
    let caller = Caller::default();
    let id = JobId::new("type").unwrap();
    let types = f.store.job_types();
    let tried = types.rehearsing(true);
    tried.create(&id, "program: x", &caller).await.unwrap();
    assert!(types.get(&id).await.is_err());
    types.create(&id, "program: x", &caller).await.unwrap();
    let would_be = tried
        .update(&id, "program: y", None, &caller)
        .await
        .unwrap();
    assert_eq!(
        (would_be.version, would_be.definition.as_str()),
        (2, "program: y")
    );
    let present = types.get(&id).await.unwrap();
    assert_eq!(
        (present.version, present.definition.as_str()),
        (1, "program: x")
    );

    let partitions = f.store.partitions();
    let share = PartitionShare {
        weight: 3,
        ..PartitionShare::default()
    };
    partitions
        .rehearsing(true)
        .update(&acme(), &Retention::default(), &share, None, &caller)
        .await
        .unwrap();
    let kept = partitions.get(&acme()).await.unwrap().share;
    assert_eq!(kept, PartitionShare::default());

    let pipes = f.store.pipes();
    let pipe = PipeName::new("documents").unwrap();
    let limits = PipeLimits {
        in_flight: Some(5),
        ..PipeLimits::default()
    };
    let tried = pipes.rehearsing(true);
    tried
        .set_limits(&pipe, &limits, None, &caller)
        .await
        .unwrap();
    assert_eq!(pipes.limits(&pipe).await.unwrap(), PipeLimits::default());
    assert_eq!(f.count("event").await, 1, "the type that was made");
}

pub(crate) async fn dead_letters_are_only_counted(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    for _ in 0..3 {
        driver.begin(task("x"), Tree::new(Vec::new())).await;
    }
    let tasks = driver.take_tasks();
    let dead = failure("DEAD_LETTERED", "gone");
    driver
        .answer(&tasks, |_| ItemEvent::Failed(dead.clone()))
        .await;
    let told = f.count("event").await;
    // Whoever writes a failure, even to undo it, gets an error.
    f.trigger("UPDATE ON failure", "DELETE FROM no_such_table")
        .await;
    let caller = Caller::default();
    let all = DeadLetterFilter {
        partition: acme(),
        pipe: None,
        job: None,
    };
    let pipes = f.store.pipes();
    let tried = pipes.rehearsing(true).drop_dead_letters(&all, &caller);
    assert_eq!(tried.await.unwrap(), (3, false));
    let other = DeadLetterFilter {
        pipe: Some(PipeName::new("other").unwrap()),
        ..all.clone()
    };
    let tried = pipes.rehearsing(true).drop_dead_letters(&other, &caller);
    assert_eq!(tried.await.unwrap(), (0, false));
    assert!(pipes.drop_dead_letters(&all, &caller).await.is_err());
    assert_eq!(f.count("event").await, told);
}
