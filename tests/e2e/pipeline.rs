//! A job through the roles, without the API.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use headway_domain::{
    JobId, JobName, PartitionId, PipeName,
    job::Phase,
    spec::{BatchSpec, JobSpec, Work},
};
use headway_relay::Links;
use headway_runtime::{config::Config, tasks::Supervisor};
use headway_store::NewJob;
use headway_worker::{Outcome, Task, TaskError, Worker};
use headway_worker_batch::splitter::{Definition, Registry};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn range_job_embedded() {
    headway_runtime::telemetry::init("info", Default::default()).ok();
    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    let supervisor = Supervisor::new(shutdown.clone());
    let links = Links::connect(&config, &supervisor).await.unwrap();
    headway_worker_tracking::start(&config, &links, &supervisor);
    headway_worker_batch::start(&config, &links, Registry::with_builtins(), &supervisor);
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let worker = Worker::builder()
        .broker(links.relay.broker().clone())
        .pipe("noop")
        .concurrency(8)
        .handler(move |_task: Task| {
            let count = count.clone();
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, TaskError>(Outcome::done())
            }
        })
        .build()
        .unwrap();
    let worker = tokio::spawn(worker.run(shutdown.clone()));
    let definition = Definition::Json(serde_json::json!({"from": 0, "to": 20000})).encode();
    let spec = JobSpec::new(Work::Batch(BatchSpec {
        splitter: "range".into(),
        definition,
        parameters: serde_json::Value::Null,
        pipe: PipeName::new("noop").unwrap(),
        task_type: "noop".into(),
        payload: None,
        headers: Default::default(),
    }));
    let start = std::time::Instant::now();
    let created = links
        .relay
        .store()
        .create_job(NewJob {
            name: JobName {
                partition: PartitionId::new("default").unwrap(),
                job: JobId::new("one").unwrap(),
            },
            spec,
            request_id: String::new(),
            creator: String::new(),
        })
        .await
        .unwrap();
    links
        .relay
        .publish_created(&created, Default::default())
        .await;
    let uid = created.view.job.meta.uid;
    let end = loop {
        let job = links
            .relay
            .store()
            .job_state(uid)
            .await
            .unwrap()
            .unwrap()
            .job;
        if job.settled.is_some() {
            break job;
        }
        if start.elapsed() > Duration::from_secs(60) {
            panic!("{job:#?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    println!("{:?} {:#?}", start.elapsed(), end);
    assert_eq!(end.phase, Phase::Completed);
    assert_eq!(end.counts.done, 20000);
    assert_eq!(ran.load(Ordering::Relaxed), 20000);
    shutdown.cancel();
    worker.await.unwrap().unwrap();
    supervisor.join(Duration::from_secs(10)).await.unwrap();
}
