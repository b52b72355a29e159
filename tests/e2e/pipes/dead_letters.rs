//! Dead letters: looked at, sent again and dropped.

use futures::TryStreamExt;
use headway::v1::{DropDeadLettersRequest, JobState, ListDeadLettersRequest};
use headway_broker::Queue;
use headway_cli::ExitStatus;
use headway_client::Code;
use headway_tests::{Deployment, Record, WORK, numbers};

use crate::{
    clients::command_line::headway,
    handlers::quick,
    retries::{
        failures::kill_messages,
        partial::{codes, retry},
    },
};

on_both!(
    dead_letters_are_looked_at,
    dead_letters_are_dropped,
    by_command_line,
);

/// The dead letters of the partition, or of what is below it, such as `/jobs/first`.
pub(crate) fn dead(below: &str) -> ListDeadLettersRequest {
    ListDeadLettersRequest {
        parent: format!("partitions/default{below}"),
        page_size: 2,
        ..ListDeadLettersRequest::default()
    }
}

/// Two jobs, the messages of which the pipe gave up in part.
async fn two_with_dead_letters(d: &Deployment) -> Record {
    let batch = numbers(6, 6).item_header("lang", "en");
    let spec = headway_client::JobBuilder::new(batch);
    let spec = spec.items_per_message(2).build();
    d.create("first", spec.clone()).await;
    kill_messages(d, &Queue::Pipe(WORK.to_owned()), 2).await;
    d.create("second", spec).await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&headway_tests::name("first"), JobState::Failed)
        .await;
    d.finish(&headway_tests::name("second"), JobState::Completed)
        .await;
    record
}

async fn dead_letters_are_looked_at(d: Deployment) {
    let record = two_with_dead_letters(&d).await;
    let letters = async |request| {
        let letters: Vec<_> = d
            .client()
            .dead_letters(request)
            .try_collect()
            .await
            .unwrap();
        letters
    };
    let all = letters(dead("")).await;
    assert_eq!(all.len(), 4);
    assert!(
        all.iter()
            .all(|letter| letter.job == "partitions/default/jobs/first")
    );
    let failure = all[0].failure.clone().unwrap();
    assert_eq!(
        (failure.code.as_str(), all[0].pipe.as_str()),
        ("DEAD_LETTERED", WORK)
    );
    let details: serde_json::Value = serde_json::from_str(&failure.details).unwrap();
    assert_eq!(
        (&details["type"], &details["headers"]["lang"]),
        (&"number".into(), &"en".into())
    );
    assert_eq!(
        (&details["bytes"], &details["text"]),
        (&1.into(), &"0".into())
    );
    let work = format!("/pipes/{WORK}");
    assert_eq!(letters(dead(&work)).await.len(), 4);
    assert_eq!(letters(dead("/jobs/first")).await.len(), 4);
    assert!(letters(dead("/pipes/other")).await.is_empty());
    assert!(letters(dead("/jobs/second")).await.is_empty());
    let other = ListDeadLettersRequest {
        parent: "partitions/other".to_owned(),
        ..dead("")
    };
    assert!(letters(other).await.is_empty());
    // Sent to their pipe again, they are none any more.
    let first = headway_tests::name("first");
    let again = retry(&first, codes(&["DEAD_LETTERED"]));
    d.client().retry_failures(again).await.unwrap();
    d.finish(&first, JobState::Completed).await;
    assert!(letters(dead("")).await.is_empty());
    assert_eq!(record.total(), 12);
}

async fn dead_letters_are_dropped(d: Deployment) {
    two_with_dead_letters(&d).await;
    let drop = |below: &str, all: bool| DropDeadLettersRequest {
        parent: format!("partitions/default{below}"),
        all,
        ..DropDeadLettersRequest::default()
    };
    let client = d.client();
    let refused = client.drop_dead_letters(drop("", false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.field_violations()[0].field, "all");
    let none = client
        .drop_dead_letters(drop("/pipes/other", false))
        .await
        .unwrap();
    assert_eq!(none.dropped_count, 0);
    let tried = DropDeadLettersRequest {
        validate_only: true,
        ..drop("", true)
    };
    let tried = client.drop_dead_letters(tried).await.unwrap();
    assert_eq!((tried.dropped_count, tried.more), (4, false));
    let left: Vec<_> = client.dead_letters(dead("")).try_collect().await.unwrap();
    assert_eq!(left.len(), 4, "nothing was dropped");
    let four = client.drop_dead_letters(drop("", true)).await.unwrap();
    assert_eq!((four.dropped_count, four.more), (4, false));
    let left: Vec<_> = client.dead_letters(dead("")).try_collect().await.unwrap();
    assert!(left.is_empty());
    let first = headway_tests::name("first");
    let failures = d.failures(&first).await;
    assert!(
        failures
            .iter()
            .all(|failure| failure.code == "DEAD_LETTER_DROPPED")
    );
    assert!(failures.iter().all(|failure| failure.details.is_empty()));
    // They failed all the same, and a retry runs them.
    client.retry_job(&first).await.unwrap();
    d.finish(&first, JobState::Completed).await;
}

async fn by_command_line(d: Deployment) {
    two_with_dead_letters(&d).await;
    let lines = async |arguments: &[&str]| {
        let (status, printed, _) = headway(&d, arguments).await;
        assert_eq!(status, ExitStatus::Completed, "{arguments:?}");
        printed.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let failures = lines(&["failures", "first", "--ndjson", "--code", "DEAD_LETTERED"]).await;
    assert_eq!(failures.len(), 4);
    let mut last = String::new();
    for line in failures {
        let failure: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(failure["code"], "DEAD_LETTERED", "{line}");
        failure["item"].as_str().unwrap().clone_into(&mut last);
    }
    let would = lines(&["retry", "first", "--item", &last, "--validate-only"]).await;
    assert_eq!(
        would,
        ["first would have 1 item to run, 3 failures would stay"]
    );
    assert_eq!(d.job(&headway_tests::name("first")).await.run, 0);
    let some = lines(&["failures", "first", "--ndjson", "--limit", "3"]).await;
    assert_eq!(some.len(), 3);
    let (status, _, said) = headway(&d, &["retry", "first", "--code", "NO"]).await;
    assert_eq!(status, ExitStatus::Failed);
    assert!(said.contains("matches the filter"), "{said}");
    let listed = lines(&["dead", "--pipe", WORK]).await;
    assert_eq!(listed.len(), 5, "a heading and a line each: {listed:?}");
    let again = lines(&["dead", "redrive", "--pipe", WORK]).await;
    assert!(again.len() == 1 && again[0].contains("first"), "{again:?}");
    d.finish(&headway_tests::name("first"), JobState::Completed)
        .await;
    let (status, _, said) = headway(&d, &["dead", "drop"]).await;
    assert_eq!(status, ExitStatus::Usage);
    assert!(said.contains("--all"), "{said}");
    let dropped = lines(&["dead", "drop", "--all"]).await;
    assert_eq!(dropped, ["dropped 0 dead letters"]);
}
