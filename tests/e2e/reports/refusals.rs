//! Reports that the database refuses: each ends its own item and no other.

use headway::v1::JobState;
use headway_tests::{BackEnd, Deployment, PATIENCE, outcome_counts, range, until};
use headway_worker::{Outcome, Task, TaskError};
use sea_orm::ConnectionTrait;

use crate::handlers::number;

on_both!(
    a_report_that_the_database_refuses,
    a_report_that_cannot_be_applied_waits,
    odd_texts_are_cleaned,
);

/// Runs statements past Headway: one of PostgreSQL's, or one of SQLite's.
async fn run_on(d: &Deployment, postgres: &[&str], sqlite: &[&str]) {
    let database = d.database().await.unwrap();
    let statements = match d.back_end() {
        BackEnd::Cluster => postgres,
        BackEnd::Embedded => sqlite,
    };
    for statement in statements {
        database.execute_unprepared(statement).await.unwrap();
    }
    database.close().await.unwrap();
}

/// Makes the database refuse failures with a certain code, as one that is stricter about texts
/// would.
async fn refuse_failures(d: &Deployment) {
    let postgres = [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'not this text' USING ERRCODE = '22021'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON failure FOR EACH ROW \
         WHEN (NEW.code = 'UNWELCOME') EXECUTE FUNCTION refuse()",
    ];
    let sqlite = [
        "CREATE TRIGGER refuse BEFORE INSERT ON failure WHEN NEW.code = 'UNWELCOME' \
         BEGIN SELECT RAISE(ABORT, 'not this text'); END",
    ];
    run_on(d, &postgres, &sqlite).await;
}

/// The report is good, but a row stands in its way: it waits, and is applied once the row is gone.
async fn a_report_that_cannot_be_applied_waits(d: Deployment) {
    let postgres = [
        "CREATE TABLE one (id bigint PRIMARY KEY)",
        "INSERT INTO one VALUES (1)",
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO one VALUES (1); RETURN NEW; END $$",
        "CREATE TRIGGER spoil BEFORE INSERT ON failure FOR EACH ROW EXECUTE FUNCTION spoil()",
    ];
    let sqlite = [
        "CREATE TABLE one (id INTEGER PRIMARY KEY)",
        "INSERT INTO one VALUES (1)",
        "CREATE TRIGGER spoil BEFORE INSERT ON failure BEGIN INSERT INTO one VALUES (1); END",
    ];
    run_on(&d, &postgres, &sqlite).await;
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            match number(&task)? {
                13 => Err(TaskError::fatal("NO", "no")),
                _ => Ok(Outcome::done()),
            }
        })
    });
    let name = d
        .create("waits", range(300, 100).items_per_message(10).build())
        .await;
    until("all others to be done", PATIENCE, || async {
        (outcome_counts(&d.job(&name).await) == [300, 299, 0, 0]).then_some(())
    })
    .await;
    run_on(
        &d,
        &["DROP TRIGGER spoil ON failure"],
        &["DROP TRIGGER spoil"],
    )
    .await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [300, 299, 1, 0]);
    assert_eq!(d.failures(&name).await[0].code, "NO");
}

async fn a_report_that_the_database_refuses(d: Deployment) {
    refuse_failures(&d).await;
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            match number(&task)? {
                13 | 213 => Err(TaskError::fatal("UNWELCOME", "a text that is refused")),
                14 => Err(TaskError::fatal("NO", "no")),
                _ => Ok(Outcome::done()),
            }
        })
    });
    let name = d
        .create("refused", range(300, 100).items_per_message(10).build())
        .await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [300, 297, 3, 0]);
    let mut codes: Vec<_> = d
        .failures(&name)
        .await
        .into_iter()
        .map(|failure| failure.code)
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, ["BAD_REPORT", "BAD_REPORT", "NO"]);
}

async fn odd_texts_are_cleaned(d: Deployment) {
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            let odd = format!("a\0b\u{7}c\u{feff}\u{10ffff} {}", "ü".repeat(9000));
            match number(&task)? {
                0 => Err(TaskError::fatal(odd.clone(), odd.clone()).details(odd)),
                _ => Ok(Outcome::done()),
            }
        })
    });
    let name = d.create("odd", range(10, 10).build()).await;
    let job = d.finish(&name, JobState::Failed).await;
    assert_eq!(outcome_counts(&job), [10, 9, 1, 0]);
    let failure = &d.failures(&name).await[0];
    assert!(failure.message.len() <= 4096 && !failure.message.contains('\0'));
    assert!(failure.code.len() <= 128 && failure.details.len() <= 16 * 1024);
}
