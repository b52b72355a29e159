//! Tag, then export, over pipes in memory: each item is tagged, forwarded and archived.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headway::wire::item_report::Event;
use headway::wire::{Failed, Forward, ReportMessage, TaskItem, TaskMessage};
use headway_documents::verify;

use headway_documents::workers::{EXPORT_PIPE, TAG_PIPE, export_worker, tag_worker};
use headway_files::FileRoots;
use headway_runtime::tasks;
use headway_worker::CancellationToken;
use headway_worker::broker::{Broker, InProcessBroker, Outgoing, Queue};
use prost::Message;
use serde_json::{Value, json};

async fn send(broker: &InProcessBroker, pipe: &str, index: u32, stage: u32, payload: Bytes) {
    let message = TaskMessage {
        job_uid: Bytes::from_static(&[1; 16]),
        content_type: "application/json".into(),
        items: vec![TaskItem {
            index,
            stage,
            payload,
            ..TaskItem::default()
        }],
        ..TaskMessage::default()
    };
    let outgoing = Outgoing {
        queue: Queue::Pipe(pipe.into()),
        body: message.encode_to_vec().into(),
    };
    assert_eq!(broker.publish(vec![outgoing]).await, [Ok(())]);
}

/// What became of the items; plays tracking's part in forwarding.
async fn outcomes(broker: &InProcessBroker, count: usize) -> HashMap<u32, Result<(), Failed>> {
    let mut consumer = broker
        .consume(&Queue::Reports(0), 100)
        .await
        .expect("is open");
    let mut ended = HashMap::new();
    while ended.len() < count {
        for delivery in consumer.next(100).await.expect("is open") {
            let report = ReportMessage::decode(delivery.body).expect("is a report");
            for page in report.pages {
                ended.extend(page.done.into_iter().map(|index| (index, Ok(()))));
                for item in page.items {
                    match item.event.expect("has an event") {
                        Event::Forward(Forward {
                            pipe,
                            r#type,
                            payload,
                            ..
                        }) => {
                            assert_eq!((pipe.as_str(), r#type.as_str()), (EXPORT_PIPE, "export"));
                            send(broker, &pipe, item.index, item.stage + 1, payload).await;
                        }
                        Event::Done(_) => drop(ended.insert(item.index, Ok(()))),
                        Event::Failed(failed) => drop(ended.insert(item.index, Err(failed))),
                        Event::Fraction(_) => {}
                        other => panic!("unexpected {other:?}"),
                    }
                }
            }
        }
    }
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_then_export_is_one_item_of_two_stages() -> anyhow::Result<()> {
    let (root, index, out) = (
        tempfile::tempdir()?,
        tempfile::tempdir()?,
        tempfile::tempdir()?,
    );
    std::fs::create_dir(root.path().join("notes"))?;
    for number in 0..40 {
        std::fs::write(
            root.path().join(format!("notes/{number}.txt")),
            format!("kingfisher {number}").repeat(100),
        )?;
    }
    let roots = FileRoots::new([std::env::temp_dir()]);
    let broker = InProcessBroker::new();
    let shutdown = CancellationToken::new();
    let workers: Vec<_> = [tag_worker(roots.clone()), export_worker(roots)]
        .into_iter()
        .map(|builder| {
            builder
                .broker(Arc::new(broker.clone()))
                .concurrency(4)
                .build()
        })
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|worker| tasks::spawn(worker.run(shutdown.clone())))
        .collect();
    let payload = |files: Vec<String>| -> Bytes {
        let value: Value = json!({
            "source": {"root": root.path(), "dir": "notes", "files": files},
            "out": index.path(),
            "then": {"out": out.path()},
        });
        value.to_string().into()
    };
    for item in 0..8_u32 {
        let files = (item * 5..item * 5 + 5)
            .map(|number| format!("{number}.txt"))
            .collect();
        send(&broker, TAG_PIPE, item, 0, payload(files)).await;
    }
    send(&broker, TAG_PIPE, 8, 0, payload(vec!["gone.txt".into()])).await;
    send(&broker, TAG_PIPE, 9, 0, Bytes::from_static(b"no json")).await;
    let mut ended = tokio::time::timeout(Duration::from_secs(60), outcomes(&broker, 10)).await?;
    let vanished = ended.remove(&8).expect("ended").expect_err("is gone");
    assert_eq!(
        (vanished.retryable, vanished.code.as_str()),
        (false, "VANISHED")
    );
    assert!(
        vanished.message.contains("notes/gone.txt"),
        "{}",
        vanished.message
    );
    assert_eq!(
        ended
            .remove(&9)
            .expect("ended")
            .expect_err("is no JSON")
            .code,
        "BAD_PAYLOAD"
    );
    assert!(ended.values().all(Result::is_ok), "{ended:?}");
    shutdown.cancel();
    for worker in workers {
        worker.await??;
    }
    let report = verify(out.path(), root.path())?;
    assert!(report.is_exact(), "{report}");
    assert_eq!((report.files, report.archives), (40, 8));
    let mut lines = 0;
    for entry in std::fs::read_dir(index.path())? {
        for line in std::fs::read_to_string(entry?.path())?.lines() {
            assert!(line.contains("\"kingfisher\""), "{line}");
            lines += 1;
        }
    }
    assert_eq!(lines, 40);
    Ok(())
}
