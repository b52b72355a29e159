//! Reports that the database refuses: each ends its own item and no other.

use headway::v1::JobState;
use headway_tests::{Deployment, outcome_counts, range};
use headway_worker::{Outcome, Task, TaskError};
use sea_orm::{ConnectionTrait, Database};

use crate::handlers::number;

on_both!(a_report_that_the_database_refuses, odd_texts_are_cleaned);

/// Makes the database refuse failures with a certain code, as one that is stricter about texts would.
async fn refuse_failures(d: &Deployment) {
    let (database, statements): (_, &[&str]) = match d.namespace() {
        Some(namespace) => (
            namespace.database().await.unwrap(),
            &[
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'not this text' USING ERRCODE = '22021'; END $$",
                "CREATE TRIGGER refuse BEFORE INSERT ON failure FOR EACH ROW \
                 WHEN (NEW.code = 'UNWELCOME') EXECUTE FUNCTION refuse()",
            ],
        ),
        None => {
            let file = d.folder().join("headway.db");
            let url = format!("sqlite://{}", file.display());
            (
                Database::connect(url).await.unwrap(),
                &[
                    "CREATE TRIGGER refuse BEFORE INSERT ON failure WHEN NEW.code = 'UNWELCOME' \
                   BEGIN SELECT RAISE(ABORT, 'not this text'); END",
                ],
            )
        }
    };
    for statement in statements {
        database.execute_unprepared(statement).await.unwrap();
    }
    database.close().await.unwrap();
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
